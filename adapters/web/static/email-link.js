// Fills in the token of a link in an e-mail, and removes it from the address, which others may see.
const field = document.querySelector("[data-token]");

function readToken() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!token) return;
  field.value = token;
  history.replaceState(null, "", location.pathname);
}

if (field) {
  readToken();
  window.addEventListener("hashchange", readToken);
}
