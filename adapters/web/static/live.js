// One stream of events per page, for the elements that name what they show:
//   data-live-product="17"   the element shows the price of a product
//   data-live-stock="17"     the element is hidden while the product cannot be bought; data-live-no-stock the reverse
//   data-live-order="3"      the page shows an order; data-live-figures: it shows statistics
// When an order or the statistics change, the page is loaded again in the background and elements with
// `data-live-region="name"` are replaced by those of the new page. A region with `data-live-source="/path/"` is replaced
// by that of another page instead, when a price of this page changes.

const REFRESH_PAUSE = 300;
// Milliseconds until a stream that was refused is tried again; each time twice as long.
const FIRST_RETRY = 5_000;
const LAST_RETRY = 300_000;

export function followChanges(prepare) {
  const products = ids("[data-live-product]", "liveProduct");
  const orders = ids("[data-live-order]", "liveOrder");
  const figures = document.querySelector("[data-live-figures]") !== null;
  if (!products.size && !orders.size && !figures) return;
  const query = new URLSearchParams();
  for (const id of [...products].slice(0, 100)) query.append("product", id);
  for (const id of [...orders].slice(0, 20)) query.append("order", id);
  if (figures) query.append("figures", "1");
  const statuses = new Map([...document.querySelectorAll("[data-live-order]")].map((each) => [each.dataset.liveOrder, each.dataset.status]));
  document.addEventListener("price", () => {
    for (const { dataset } of document.querySelectorAll("[data-live-source]")) refresh(prepare, dataset.liveSource);
  });
  let retryDelay = FIRST_RETRY;
  let stream = null;

  const open = () => {
    if (stream) return;
    stream = new EventSource(`/live/?${query}`);
    stream.addEventListener("product", (event) => showProduct(JSON.parse(event.data)));
    stream.addEventListener("order", (event) => {
      const { id, status } = JSON.parse(event.data);
      if (statuses.get(String(id)) === status) return;
      statuses.set(String(id), status);
      refresh(prepare);
    });
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

function showProduct({ id, text, amount, available }) {
  for (const element of document.querySelectorAll(`[data-live-product="${id}"]`)) {
    if (amount === undefined || element.value === amount || element.getAttribute("value") === amount) continue;
    const rises = Number(amount) > Number(element.getAttribute("value"));
    element.textContent = text;
    element.setAttribute("value", amount);
    element.classList.remove("rises", "falls");
    // Reading a size restarts the animation.
    void element.offsetWidth;
    element.classList.add(rises ? "rises" : "falls");
    element.dispatchEvent(new CustomEvent("price", { bubbles: true, detail: { id, text, amount, rises } }));
  }
  for (const element of document.querySelectorAll(`[data-live-stock="${id}"]`)) element.hidden = !available;
  for (const element of document.querySelectorAll(`[data-live-no-stock="${id}"]`)) element.hidden = available;
}

const refreshing = new Set();

// Replaces the live regions by those of a new copy of this page, or of the page that is their source.
export function refresh(prepare, source = "") {
  if (refreshing.has(source)) return;
  refreshing.add(source);
  new Promise((resolve) => setTimeout(resolve, REFRESH_PAUSE))
    .then(() => {
      refreshing.delete(source);
      return fetch(source || location.href, { headers: { Accept: "text/html" } });
    })
    .then((response) => (response.ok && !response.redirected ? response.text() : null))
    .then((text) => {
      if (text === null) return;
      const fresh = new DOMParser().parseFromString(text, "text/html");
      for (const region of document.querySelectorAll("[data-live-region]")) {
        if ((region.dataset.liveSource ?? "") !== source) continue;
        const other = fresh.querySelector(`[data-live-region="${region.dataset.liveRegion}"]`);
        // What the reader is typing or has focused stays.
        if (other && !region.contains(document.activeElement)) replaceRegion(region, other, prepare);
      }
    })
    .catch(() => {
      // The next change tries again.
    });
}

function replaceRegion(region, other, prepare) {
  if (region.dataset.liveSource) other.dataset.liveSource = region.dataset.liveSource;
  const unfolded = [...region.querySelectorAll("details")].map((each) => each.open);
  other.querySelectorAll("details").forEach((each, index) => (each.open = unfolded[index] ?? each.open));
  prepare(other);
  region.replaceWith(other);
}
