// Click a header, or press Enter or Space on it, to sort by its column; again to turn the order round.
for (const table of document.querySelectorAll("table.sortable")) {
  const headers = [...table.tHead.rows[0].cells];
  headers.forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => {
      const down = header.getAttribute("aria-sort") === "ascending";
      headers.forEach((other) => other.removeAttribute("aria-sort"));
      header.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => row.cells[column].dataset.sort ?? row.cells[column].textContent.trim();
      const compare = (a, b) => key(a).localeCompare(key(b), "en", { numeric: true });
      const number = (row) => (key(row) === "" ? NaN : Number(key(row)));
      const rows = [...table.tBodies[0].rows];
      const numeric = rows.every((row) => key(row) === "" || !Number.isNaN(number(row)));
      const last = (row) => key(row) === ""; // what is not known stays at the end
      rows.sort((a, b) => {
        if (last(a) || last(b)) return last(a) - last(b);
        return (down ? -1 : 1) * (numeric ? number(a) - number(b) : compare(a, b));
      });
      table.tBodies[0].append(...rows);
    });
  });
}
