// Tables of class "sheet": a click on a header (or Enter, or Space) sorts, again turns the order round;
// in those of class "filtered" a field keeps the rows that hold all its words.
for (const sheet of document.querySelectorAll(".sheet")) {
  const table = sheet.querySelector("table");
  const body = table.tBodies[0];
  const key = (row, i) => row.cells[i].dataset.sort ?? row.cells[i].textContent.trim();
  const number = (text) => (text === "" ? NaN : Number(text));
  for (const header of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => {
      const i = header.cellIndex;
      const sign = header.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      for (const other of header.parentElement.cells) other.removeAttribute("aria-sort");
      header.setAttribute("aria-sort", sign < 0 ? "descending" : "ascending");
      const known = (row) => !["", "–"].includes(key(row, i)); // what is not known stays at the end
      const compare = (a, b) => number(a) - number(b) || a.localeCompare(b);
      const order = (a, b) => known(b) - known(a) || sign * compare(key(a, i), key(b, i));
      body.append(...[...body.rows].sort(order));
    });
  }
  if (!sheet.classList.contains("filtered")) continue;
  const field = document.createElement("input");
  field.type = "search";
  const label = document.createElement("label");
  label.className = "filter";
  label.append("Show rows with ", field);
  const count = document.createElement("output");
  label.append(count);
  sheet.before(label);
  const filter = () => {
    const wanted = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of body.rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !wanted.every((word) => text.includes(word));
      shown += !row.hidden;
    }
    count.value = `${shown} of ${body.rows.length} rows`;
  };
  field.addEventListener("input", filter);
  filter();
}
// What scrolls can be reached with the keyboard; pictures have their width when all is loaded.
const reach = () => {
  for (const box of document.querySelectorAll("pre, .output, .picture, .pst-scrollable-table-container")) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
  }
};
for (const event of ["load", "resize"]) addEventListener(event, reach);
