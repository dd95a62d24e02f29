// What every page gets: times in the reader's zone, confirmations, and live figures. Pages work without it.
import { followChanges } from "./live.js";

const formats = {
  moment: { dateStyle: "medium", timeStyle: "medium" },
  clock: { timeStyle: "short" },
  seconds: { timeStyle: "medium" },
  day: { dateStyle: "medium" },
};

// Replaces times in UTC by times in the reader's zone.
export function localizeTimes(root) {
  const language = document.documentElement.lang;
  for (const element of root.querySelectorAll("time[datetime][data-format]")) {
    const moment = new Date(element.dateTime);
    if (!Number.isNaN(moment.getTime())) {
      element.textContent = new Intl.DateTimeFormat(language, formats[element.dataset.format]).format(moment);
      element.title = element.dateTime;
      element.removeAttribute("data-format");
    }
  }
}

document.addEventListener("submit", (event) => {
  const question = event.target.dataset?.confirm;
  if (question && !window.confirm(question)) event.preventDefault();
});

localizeTimes(document);
followChanges(localizeTimes);
