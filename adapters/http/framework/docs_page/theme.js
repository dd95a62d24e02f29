// The class enables Swagger UI's dark theme. This script runs before the first paint, to avoid a white flash.
const dark = matchMedia("(prefers-color-scheme: dark)");
const paint = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", paint);
paint();
