// The search of the shop: suggestions, and sliders for the range of prices. The form works without it.

const PAUSE = 180;
const SUGGESTIONS = 8;

const input = document.querySelector("[data-suggest]");
let timer = 0;
let asked = "";
input?.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(suggest, PAUSE);
});

async function suggest() {
  const text = input.value.trim();
  // A choice from the list is an input, too.
  if (text.length < 2 || text === asked || [...input.list.options].some((option) => option.value === text)) return;
  asked = text;
  const query = new URLSearchParams({ search: text, page_size: 20 });
  try {
    const response = await fetch(`${input.dataset.suggest}?${query}`, { credentials: "omit" });
    if (!response.ok || text !== asked) return;
    const names = new Set((await response.json()).results.map((product) => product.name));
    input.list.replaceChildren(
      ...[...names].slice(0, SUGGESTIONS).map((name) => Object.assign(document.createElement("option"), { value: name })),
    );
  } catch {
    // Without suggestions, the search works as a form.
  }
}

const range = document.querySelector("[data-price-range]");
if (range) {
  const stops = range.dataset.stops.split(" ");
  const [low, high] = range.querySelectorAll('input[type="range"]');
  const [from, to] = range.querySelectorAll(".price-inputs input");

  const describe = (slider, text) => slider.setAttribute("aria-valuetext", text || slider.dataset.any);
  // The lowest stop is no lower bound, and the place after the highest one no upper bound.
  const toNumbers = (moved) => {
    if (Number(low.value) >= Number(high.value)) {
      if (moved === low) high.value = Number(low.value) + 1;
      else low.value = Number(high.value) - 1;
    }
    from.value = low.value === "0" ? "" : stops[low.value];
    to.value = stops[high.value] ?? "";
    describe(low, from.value);
    describe(high, to.value);
  };
  const toSliders = () => {
    const place = (text, none, find) => (text === "" || Number.isNaN(Number(text)) ? none : find(Number(text)));
    low.value = place(from.value, 0, (amount) => Math.max(0, stops.findLastIndex((stop) => Number(stop) <= amount)));
    high.value = place(to.value, stops.length, (amount) => {
      const index = stops.findIndex((stop) => Number(stop) >= amount);
      return index < 0 ? stops.length : index;
    });
    describe(low, from.value);
    describe(high, to.value);
  };

  for (const slider of [low, high]) slider.addEventListener("input", () => toNumbers(slider));
  for (const field of [from, to]) field.addEventListener("input", toSliders);
  toSliders();
  range.querySelector(".sliders").hidden = false;
}
