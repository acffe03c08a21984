// Click a header, or press Enter or Space on it, to sort by its column; again to turn the order round.
for (const header of document.querySelectorAll("thead th")) {
  const button = document.createElement("button");
  button.append(...header.childNodes);
  header.append(button);
  button.addEventListener("click", () => {
    const body = header.closest("table").tBodies[0];
    const sign = header.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    for (const other of header.parentElement.cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", sign < 0 ? "descending" : "ascending");
    const key = ({ cells }) => cells[header.cellIndex].dataset.sort ?? cells[header.cellIndex].textContent;
    const number = (row) => (key(row) === "" ? NaN : Number(key(row)));
    const compare = (a, b) => number(a) - number(b) || key(a).localeCompare(key(b));
    const last = (row) => key(row) === ""; // what is not known stays at the end
    const rows = [...body.rows].sort((a, b) => last(a) - last(b) || sign * compare(a, b));
    body.append(...rows);
  });
}
