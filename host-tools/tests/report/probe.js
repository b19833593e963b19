// Run in the tests' copy of a page, never in the page itself.
const within = (inner, outer) =>
  inner.left >= outer.left - 1 && inner.right <= outer.right + 1 &&
  inner.top >= outer.top - 1 && inner.bottom <= outer.bottom + 1;
const name = (element) => element.outerHTML.slice(0, 200);
const text = (element) => element ? element.textContent : "";
const plot = (svg) => {
  const frame = svg.getBoundingClientRect();
  const drawn = [...svg.querySelectorAll(".line, .dot, .bar")];
  const seen = [...drawn, ...svg.querySelectorAll("text")].map((element) => [element, element.getBoundingClientRect()]);
  return {
    id: svg.id,
    role: svg.getAttribute("role"),
    title: text(document.getElementById(svg.getAttribute("aria-labelledby"))),
    description: text(document.getElementById(svg.getAttribute("aria-describedby"))),
    inside: drawn.filter((element) => {
      const box = element.getBoundingClientRect();
      return box.width + box.height > 0 && within(box, frame);
    }).length,
    outside: seen.filter(([, box]) => !within(box, frame)).map(([element]) => name(element)),
  };
};
const found = {
  heading: text(document.querySelector("h1")),
  scripts: document.scripts.length,
  resources: performance.getEntriesByType("resource").length,
  too_wide: document.documentElement.scrollWidth > document.documentElement.clientWidth,
  plots: [...document.querySelectorAll("svg")].map(plot),
};
const pre = document.createElement("pre");
pre.id = "probe";
// The document is printed as HTML: what HTML escapes is escaped as JSON does first.
pre.textContent = JSON.stringify(found).replace(/[<>&\u00a0]/g, (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
document.body.append(pre);
