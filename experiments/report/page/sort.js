// Sorts tables by the column whose button is pressed; metrics that are not there stay below.
const named = (head) => head.cellIndex === 0 || head.classList.contains("name");
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  heads.forEach((head, place) => {
    head.querySelector("button").addEventListener("click", () => {
      const now = head.getAttribute("aria-sort");
      const order = now === "none" ? head.dataset.first : now === "ascending" ? "descending" : "ascending";
      const sign = order === "ascending" ? 1 : -1;
      const key = (row) => row.cells[place].dataset.value;
      heads.forEach((other) => other.setAttribute("aria-sort", other === head ? order : "none"));
      const sorted = [...body.rows].sort((one, other) => {
        const [a, b] = [key(one), key(other)];
        if (named(head)) return sign * a.localeCompare(b, undefined, { numeric: true });
        return (a === "") - (b === "") || sign * (a - b);
      });
      body.append(...sorted);
    });
  });
}
