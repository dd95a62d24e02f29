-- wrk's script: each request orders one unit of each of two products, for a random buyer, over kept connections.
-- Arguments: file of tokens, number of products, "hot" (products 1 and 2 only) or "uniform", address for Host.

local heads, products, hot = {}, 0, false

function setup(thread)
  threads = (threads or 0) + 1
  thread:set("seed", threads)
end

function init(args)
  math.randomseed(os.time() * 31 + seed)
  products, hot = tonumber(args[2]), args[3] == "hot"
  for token in io.lines(args[1]) do
    heads[#heads + 1] = "POST /orders/api/v1/ HTTP/1.1\r\nHost: " .. args[4]
      .. "\r\nAuthorization: Bearer " .. token
      .. "\r\nContent-Type: application/json\r\nContent-Length: "
  end
end

function request()
  local first, second = 1, 2
  if not hot then
    first = math.random(products)
    second = (first - 1 + math.random(products - 1)) % products + 1
  end
  local body = '{"order_item":[{"product":' .. first .. ',"quantity":1},{"product":' .. second .. ',"quantity":1}]}'
  return heads[math.random(#heads)] .. #body .. "\r\n\r\n" .. body
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "seconds": %.6f, "p50": %.3f, "p99": %.3f, "refused": %d, "broken": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
