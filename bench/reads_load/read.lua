-- GET of products by random numbers (`ids FIRST LAST`) or of the lines of a file at random (`paths FILE`), then HOST
-- and, perhaps, a token.

local make = nil

function setup(thread)
  threads = (threads or 0) + 1
  thread:set("seed", threads)
end

function init(args)
  local mode = args[1]
  local host, token
  if mode == "ids" then
    host, token = args[4], args[5]
  else
    host, token = args[3], args[4]
  end
  local tail = " HTTP/1.1\r\nHost: " .. host .. "\r\n"
  if token then
    tail = tail .. "Authorization: Bearer " .. token .. "\r\n"
  end
  tail = tail .. "\r\n"
  math.randomseed(os.time() * 31 + seed)
  if mode == "ids" then
    local first, last = tonumber(args[2]), tonumber(args[3])
    make = function()
      return "GET /products/api/v1/" .. string.format("%d", math.random(first, last)) .. "/" .. tail
    end
  else
    local requests = {}
    for line in io.lines(args[2]) do
      table.insert(requests, "GET " .. line .. tail)
    end
    local count = #requests
    if count == 1 then
      local only = requests[1]
      make = function() return only end
    else
      make = function() return requests[math.random(count)] end
    end
  end
end

function request()
  return make()
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "seconds": %.6f, "p50": %.3f, "p99": %.3f, "refused": %d, "broken": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
