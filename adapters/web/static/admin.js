// Continues an action on many things by itself; without scripts, its button does.
const form = document.querySelector("form[data-continue]");
if (form) window.setTimeout(() => form.requestSubmit(), 400);
