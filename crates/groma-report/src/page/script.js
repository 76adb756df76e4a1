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
    const apply = () => {
      const task = form.elements.task.value;
      const show = keep[form.elements.show.value] || (() => true);
      const text = form.elements.text.value.trim().toLowerCase();
      let shown = 0;
      cards.forEach((card, i) => {
        const fits = (task === "" || card.dataset.task === task) && show(card.dataset) && words[i].includes(text);
        card.hidden = !fits;
        shown += fits ? 1 : 0;
      });
      document.getElementById("shown").textContent = shown + " of " + cards.length + " samples";
      document.getElementById("none").hidden = shown > 0;
    };
    form.hidden = false;
    form.addEventListener("input", apply);
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
  addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details")) details.open = true;
  });
})();
