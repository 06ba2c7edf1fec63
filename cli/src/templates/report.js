(() => {
  const search = document.getElementById("search"), found = document.getElementById("found");
  // A picture is text until its map is unfolded, and is searched as such, without its marks.
  const draw = item => {
    for (const picture of item.querySelectorAll("noscript")) {
      picture.outerHTML = picture.textContent;
    }
  };
  const told = item => {
    const text = [item.textContent.toLowerCase()];
    for (const picture of item.querySelectorAll("noscript")) {
      text[0] = text[0].replace(picture.textContent.toLowerCase(), "");
      text.push(picture.textContent.toLowerCase().replace(/<[^>]*>/g, " "));
    }
    return text.join(" ");
  };
  // Made where somebody searches: of many maps, it takes a moment.
  let items;
  search.addEventListener("input", () => {
    items ??= [...document.querySelectorAll(".item")].map(item => [item, told(item)]);
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const [item, text] of items) {
      const shown = words.every(word => text.includes(word));
      item.hidden = !shown;
      count += shown;
    }
    found.textContent = words.length ? `${count} found` : "";
  });
  addEventListener("toggle", event => { if (event.target.open) draw(event.target); }, true);
  const open = () => {
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target && target.tagName === "DETAILS") { target.hidden = false; target.open = true; }
  };
  addEventListener("hashchange", open);
  open();
})();
