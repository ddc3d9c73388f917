"use strict";
// Filters the list of failures. Without it the page has all of them.
(() => {
  const form = document.querySelector(".filters");
  if (!form) return;
  form.hidden = false;
  const rows = Array.from(document.querySelectorAll(".failures tbody tr"), (row) => ({ row, text: row.textContent.toLowerCase() }));
  const search = document.getElementById("search");
  const kind = document.getElementById("class");
  const fresh = document.getElementById("new");
  const shown = document.getElementById("shown");
  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let n = 0;
    for (const { row, text } of rows) {
      const match = (!kind.value || row.dataset.class === kind.value) && (!fresh.checked || "new" in row.dataset) && words.every((w) => text.includes(w));
      row.hidden = !match;
      if (match) n++;
    }
    shown.textContent = n + " of " + rows.length;
  };
  // What is filtered stands in the address, so that it can be sent to somebody.
  const wanted = new URLSearchParams(location.hash.slice(1));
  search.value = wanted.get("search") || "";
  kind.value = wanted.get("class") || "";
  fresh.checked = wanted.has("new");
  const note = () => {
    const now = new URLSearchParams();
    if (search.value) now.set("search", search.value);
    if (kind.value) now.set("class", kind.value);
    if (fresh.checked) now.set("new", "1");
    history.replaceState(null, "", "#" + now);
  };
  form.addEventListener("submit", (e) => e.preventDefault());
  form.addEventListener("input", () => { filter(); note(); });
  filter();
})();
