"use strict";
(() => {
  const form = document.getElementById("filters");
  if (form) {
    const cards = [...document.querySelectorAll("#samples > .sample")];
    const words = cards.map((card) => card.textContent.toLowerCase());
    const keep = {
      changed: (d) => d.changed === "true",
      same: (d) => d.changed !== "true",
      newly: (d) => d.refusedBefore !== "true" && d.refusedAfter === "true",
      nolonger: (d) => d.refusedBefore === "true" && d.refusedAfter !== "true",
      refused: (d) => d.refusedAfter === "true",
    };
    const A_PAGE = 20;
    const pages = document.getElementById("pages");
    const [back, on] = pages.querySelectorAll("button");
    let page = 0;
    const apply = () => {
      const task = form.elements.task.value;
      const show = keep[form.elements.show.value] || (() => true);
      const text = form.elements.text.value.trim().toLowerCase();
      const found = cards.filter((card, i) =>
        (task === "" || card.dataset.task === task) && show(card.dataset) && words[i].includes(text));
      const last = Math.max(0, Math.ceil(found.length / A_PAGE) - 1);
      page = Math.min(page, last);
      const shown = new Set(found.slice(page * A_PAGE, (page + 1) * A_PAGE));
      for (const card of cards) card.hidden = !shown.has(card);
      document.getElementById("shown").textContent = found.length + " of " + cards.length + " samples";
      document.getElementById("none").hidden = found.length > 0;
      document.getElementById("page").textContent = "page " + (page + 1) + " of " + (last + 1);
      pages.hidden = last === 0;
      back.disabled = page === 0;
      on.disabled = page === last;
    };
    const turn = (by) => { page += by; apply(); form.scrollIntoView(); };
    back.addEventListener("click", () => turn(-1));
    on.addEventListener("click", () => turn(1));
    form.hidden = false;
    form.addEventListener("input", () => { page = 0; apply(); });
    apply();
    form.addEventListener("submit", (event) => event.preventDefault());
  }
  for (const box of document.querySelectorAll(".copy")) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      const pre = box.querySelector("pre");
      try {
        await navigator.clipboard.writeText(pre.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(pre);
        button.textContent = "Selected: press Ctrl+C";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
    box.prepend(button);
  }
})();
