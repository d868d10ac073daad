"use strict";
// What the page cannot do without a script: sort, choose rows, show values, and scroll through training.
document.documentElement.classList.add("js");

function short(value) {
  if (value >= 1e6) return +(value / 1e6).toPrecision(3) + "M";
  if (value >= 1e3) return +(value / 1e3).toPrecision(3) + "k";
  return String(+value.toPrecision(3));
}

for (const head of document.querySelectorAll(".sorts thead th")) {
  const sort = () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    const body = head.closest("table").tBodies[0];
    const value = (row) => {
      const cell = row.cells[head.cellIndex];
      return cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value);
    };
    const sorted = [...body.rows].sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      return (x < y ? -1 : x > y ? 1 : 0) * (up ? 1 : -1);
    });
    body.append(...sorted);
    for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
  };
  head.tabIndex = 0;
  head.title = "Sort by this column";
  head.addEventListener("click", sort);
  head.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(); });
}

for (const section of document.querySelectorAll("section")) {
  const all = (selector) => [...section.querySelectorAll(selector)];
  const ofRow = (row) => all(`.chart .line[data-row="${row}"], .card[data-row="${row}"]`);

  section.querySelector(".columns").addEventListener("change", (event) => {
    section.querySelector(".sorts").classList.toggle("every", event.target.checked);
  });

  // The rows that charts and samples show.
  const boxes = all(".legend input");
  const choose = (box) => {
    for (const each of ofRow(box.dataset.row)) each.classList.toggle("off", !box.checked);
  };
  for (const box of boxes) box.addEventListener("change", () => choose(box));
  for (const [name, checked] of [["all", true], ["none", false]]) {
    section.querySelector(`button.${name}`)?.addEventListener("click", () => {
      for (const box of boxes) { box.checked = checked; choose(box); }
    });
  }
  section.querySelector(".seeds")?.addEventListener("change", (event) => {
    section.querySelector(".charts").classList.toggle("every-seed", event.target.checked);
  });

  // One curve stands out in all charts of the section.
  const point = (row) => {
    section.querySelector(".charts").classList.toggle("pointed", row !== null);
    for (const line of all(".chart .line")) line.classList.toggle("on", line.dataset.row === row);
  };
  for (const label of all(".legend label")) {
    label.addEventListener("pointerenter", () => point(label.dataset.row));
    label.addEventListener("pointerleave", () => point(null));
  }

  for (const chart of all(".chart")) {
    const tip = chart.parentNode.querySelector(".tip");
    const points = [...chart.querySelectorAll(".line")].flatMap((line) => {
      const places = line.querySelector(".mean").points;
      return JSON.parse(line.dataset.values).map((values, i) => ({ line, values, at: places[i] }));
    });
    const leave = () => { tip.hidden = true; point(null); };
    chart.addEventListener("pointermove", (event) => {
      const box = chart.getBoundingClientRect();
      const scale = box.width / chart.viewBox.baseVal.width;
      const [x, y] = [(event.clientX - box.left) / scale, (event.clientY - box.top) / scale];
      let nearest = null, least = 40;
      for (const each of points) {
        if (each.line.classList.contains("off")) continue;
        const distance = Math.hypot(each.at.x - x, each.at.y - y);
        if (distance < least) [nearest, least] = [each, distance];
      }
      if (nearest === null) return leave();
      const [at, low, middle, high] = nearest.values;
      const name = document.createElement("b");
      name.textContent = nearest.line.dataset.name;
      const unit = chart.getAttribute("aria-label").split(", by ").pop();
      const spread = low === high ? "" : ` (${short(low)} to ${short(high)})`;
      tip.replaceChildren(name, `${short(middle)}${spread} at ${short(at)} ${unit}`);
      tip.hidden = false;
      const left = nearest.at.x * scale, width = tip.offsetWidth;
      tip.style.left = `${Math.max(0, left + width + 14 < box.width ? left + 12 : left - width - 12)}px`;
      tip.style.top = `${Math.max(0, nearest.at.y * scale - tip.offsetHeight - 10)}px`;
      point(nearest.line.dataset.row);
    });
    chart.addEventListener("pointerleave", leave);
  }

  // A film is loaded when somebody first asks for it. Runs have different numbers of evaluations.
  const slider = section.querySelector(".film input");
  slider?.addEventListener("input", () => {
    const share = Number(slider.value) / Number(slider.max);
    section.querySelector(".film output").textContent =
      share === 1 ? "end" : share === 0 ? "start" : `${Math.round(100 * share)} %`;
    for (const card of all(".card[data-film]")) {
      const frames = JSON.parse(card.dataset.frames);
      const frame = Math.round(share * (frames.length - 1));
      const text = card.querySelector(".text");
      text.dataset.end ??= text.textContent;
      text.textContent = share === 1 ? text.dataset.end : frames[frame];
      let shown = card.querySelector(".shown");
      if (shown === null) {
        shown = document.createElement("span");
        shown.className = "shown";
        shown.style.backgroundImage = `url("${encodeURI(decodeURI(card.dataset.film))}")`;
        shown.style.backgroundSize = `100% ${100 * frames.length}%`;
        card.querySelector("a").append(shown);
      }
      shown.hidden = share === 1;
      shown.style.backgroundPosition = `0 ${(100 * frame) / (frames.length - 1)}%`;
    }
  });
}

window.addEventListener("beforeprint", () => {
  for (const image of document.images) image.loading = "eager";
  for (const each of document.querySelectorAll("section details")) each.open = true;
});
