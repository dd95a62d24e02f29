// One stream of events per page, for the elements that name what they show:
//   data-live-product="17"   the element shows the price of a product
//   data-live-stock="17"     the element is hidden while the product cannot be bought; data-live-no-stock the reverse
//   data-live-held="17"      the element says that the price in data-amount is held, and is hidden below it
//   data-live-order="3"      the page shows an order; data-live-run: a pricing run; data-live-figures: statistics
// When one of these changes, the page is loaded again in the background and elements with `data-live-region="name"` are
// replaced by those of the new page. A region with `data-live-source="/path/"` is replaced by that of another page
// instead. A price within a region changes with its region, so that it never stands beside an explanation of another.

const REFRESH_PAUSE = 300;
// Milliseconds until a stream that was refused is tried again; each time twice as long.
const FIRST_RETRY = 5_000;
const LAST_RETRY = 300_000;

export function followChanges(prepare) {
  const products = ids("[data-live-product]", "liveProduct");
  const orders = ids("[data-live-order]", "liveOrder");
  const runs = ids("[data-live-run]", "liveRun");
  const figures = document.querySelector("[data-live-figures]") !== null;
  if (!products.size && !orders.size && !runs.size && !figures) return;
  const query = new URLSearchParams();
  for (const id of [...products].slice(0, 100)) query.append("product", id);
  for (const id of [...orders].slice(0, 20)) query.append("order", id);
  for (const id of runs) query.append("run", id);
  if (figures) query.append("figures", "1");
  const statuses = new Map();
  for (const { dataset } of document.querySelectorAll("[data-live-order]")) statuses.set(`order ${dataset.liveOrder}`, dataset.status);
  for (const { dataset } of document.querySelectorAll("[data-live-run]")) statuses.set(`run ${dataset.liveRun}`, dataset.status);
  const showStatus = (event) => {
    const { id, status } = JSON.parse(event.data);
    const key = `${event.type} ${id}`;
    if (statuses.get(key) === status) return;
    statuses.set(key, status);
    refresh(prepare);
  };
  let retryDelay = FIRST_RETRY;
  let stream = null;

  const open = () => {
    if (stream) return;
    stream = new EventSource(`/live/?${query}`);
    stream.addEventListener("product", (event) => showProduct(JSON.parse(event.data), prepare));
    stream.addEventListener("order", showStatus);
    stream.addEventListener("run", showStatus);
    stream.addEventListener("figures", () => refresh(prepare));
    stream.addEventListener("open", () => { retryDelay = FIRST_RETRY; });
    // EventSource gives up after an error status: 503 while the server restarts, or 401 after a log-out elsewhere.
    stream.addEventListener("error", () => {
      if (stream?.readyState === EventSource.CLOSED) {
        stream = null;
        setTimeout(() => document.hidden || open(), retryDelay);
        retryDelay = Math.min(2 * retryDelay, LAST_RETRY);
      }
    });
  };
  const close = () => {
    stream?.close();
    stream = null;
  };
  // Browsers limit the connections to one server, so hidden pages have no stream. A page that is shown again gets the
  // present state with its new stream.
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", () => document.hidden || open());
  if (!document.hidden) open();
}

function ids(selector, name) {
  return new Set([...document.querySelectorAll(selector)].map((each) => each.dataset[name]));
}

// The last price of each product that the stream has sent: events that wait for the same region show this one.
const prices = new Map();

function showProduct({ id, text, amount, available }, prepare) {
  if (amount !== undefined) prices.set(id, { text, amount });
  const former = new Map();
  for (const element of document.querySelectorAll(`[data-live-product="${id}"]`)) {
    const value = element.getAttribute("value");
    const region = element.closest("[data-live-region]");
    const source = region?.dataset.liveSource ?? "";
    // A copy that is being fetched may hold another price, even if the shown one is right.
    if (amount === undefined || (value === amount && !(region && fetches.get(source)?.running))) continue;
    if (region) former.set(source, value);
    else showPrice(element, value, { text, amount });
  }
  for (const [source, value] of former) {
    refresh(prepare, source).then(() => {
      // The region has the focus, or could not be loaded.
      const last = prices.get(id);
      for (const element of document.querySelectorAll(`[data-live-product="${id}"]`)) {
        if (element.getAttribute("value") === value && value !== last.amount) showPrice(element, value, last);
      }
      hideFormerHolds(id);
    });
  }
  hideFormerHolds(id);
  for (const element of document.querySelectorAll(`[data-live-stock="${id}"]`)) element.hidden = !available;
  for (const element of document.querySelectorAll(`[data-live-no-stock="${id}"]`)) element.hidden = available;
}

function showPrice(element, former, { text, amount } = {}) {
  if (amount !== undefined) {
    element.textContent = text;
    element.setAttribute("value", amount);
  }
  element.classList.remove("rises", "falls");
  // Reading a size restarts the animation.
  void element.offsetWidth;
  element.classList.add(Number(element.getAttribute("value")) > Number(former) ? "rises" : "falls");
}

// A buyer pays the lower price, so a held price above it says nothing.
function hideFormerHolds(id) {
  const price = document.querySelector(`[data-live-product="${id}"]`)?.getAttribute("value");
  for (const element of document.querySelectorAll(`[data-live-held="${id}"]`)) element.hidden = Number(price) < Number(element.dataset.amount);
}

// By source: the fetch that has not begun, the number of fetches that have, of those without an answer, and the number of
// the fetch that is shown.
const fetches = new Map();

// Replaces the live regions by those of a new copy of this page, or of the page that is their source. The promise is
// also kept if that fails: the next change tries again. Answers may come in another order than their requests; one that
// is older than what is shown is discarded.
export function refresh(prepare, source = "") {
  const fetched = fetches.get(source) ?? { waiting: null, begun: 0, running: 0, shown: 0 };
  fetches.set(source, fetched);
  if (fetched.waiting) return fetched.waiting;
  let number = 0;
  fetched.waiting = new Promise((resolve) => setTimeout(resolve, REFRESH_PAUSE))
    .then(() => {
      fetched.waiting = null;
      number = ++fetched.begun;
      fetched.running++;
      return fetch(source || location.href, { headers: { Accept: "text/html" } });
    })
    .then((response) => (response.ok && !response.redirected ? response.text() : null))
    .then((text) => {
      if (text === null || number < fetched.shown) return;
      fetched.shown = number;
      const fresh = new DOMParser().parseFromString(text, "text/html");
      for (const region of document.querySelectorAll("[data-live-region]")) {
        if ((region.dataset.liveSource ?? "") !== source) continue;
        const other = fresh.querySelector(`[data-live-region="${region.dataset.liveRegion}"]`);
        // What the reader is typing or has focused stays.
        if (other && !region.contains(document.activeElement)) replaceRegion(region, other, prepare);
      }
    })
    .catch(() => {})
    .then(() => { fetched.running--; });
  return fetched.waiting;
}

function replaceRegion(region, other, prepare) {
  if (region.dataset.liveSource) other.dataset.liveSource = region.dataset.liveSource;
  const unfolded = [...region.querySelectorAll("details")].map((each) => each.open);
  other.querySelectorAll("details").forEach((each, index) => (each.open = unfolded[index] ?? each.open));
  const former = new Map([...region.querySelectorAll("[data-live-product]")].map((each) => [each.dataset.liveProduct, each.getAttribute("value")]));
  prepare(other);
  region.replaceWith(other);
  for (const element of other.querySelectorAll("[data-live-product]")) {
    const before = former.get(element.dataset.liveProduct);
    if (before !== undefined && before !== element.getAttribute("value")) showPrice(element, before);
  }
}
