// Swagger UI has a dark theme, which it shows below this class. Loaded before the page is painted, so that it does not
// flash white.
const dark = matchMedia("(prefers-color-scheme: dark)");
const paint = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", paint);
paint();
