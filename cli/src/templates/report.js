(() => {
  const search = document.getElementById("search"), found = document.getElementById("found");
  const items = [...document.querySelectorAll(".item")].map(item => [item, item.textContent.toLowerCase()]);
  search.addEventListener("input", () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const [item, text] of items) {
      const shown = words.every(word => text.includes(word));
      item.hidden = !shown;
      count += shown;
    }
    found.textContent = words.length ? `${count} found` : "";
  });
  const open = () => {
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target && target.tagName === "DETAILS") { target.hidden = false; target.open = true; }
  };
  addEventListener("hashchange", open);
  open();
})();
