/**
 * The page's own line icons, as SVG paths on a 24 by 24 grid.
 */

const PATHS = {
  hash: ["M5 9h15", "M4 15h15", "M10.5 4 8.5 20", "M15.5 4l-2 16"],
  restricted: ["M4 8.5h9", "M3.5 14.5h9", "M9 4 7.6 20", "M18.5 4.2l3.6 6.4h-7.2z", "M18.5 7v1.4", "M14 14l-.7 6"],
  thread: ["M5 9.5h9", "M4.5 14.5H10", "M9.5 4.5 8 19.5", "M14 6l.2-1.5", "M13 15.5h8v4h-5l-3 2.5z"],
  speech: ["M5 5h14a2 2 0 0 1 2 2v8a2 2 0 0 1-2 2h-8l-5 4v-4H5a2 2 0 0 1-2-2V7a2 2 0 0 1 2-2z"],
  at: ["M16 8v5.2a2.4 2.4 0 0 0 4.8 0V12A8.8 8.8 0 1 0 17 19.2", "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8z"],
  bot: ["M6 8h12a2 2 0 0 1 2 2v7a2 2 0 0 1-2 2H6a2 2 0 0 1-2-2v-7a2 2 0 0 1 2-2z", "M12 4v4", "M9 13v1", "M15 13v1", "M2 13v2", "M22 13v2"],
  people: ["M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7z", "M2.5 20c.4-3.6 3-5.5 6.5-5.5s6.1 1.9 6.5 5.5", "M16 4.3a3.5 3.5 0 0 1 0 6.4", "M18.3 14.9c1.9.8 3 2.5 3.2 5.1"],
  person: ["M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8z", "M4.5 20.5c.5-4 3.4-6 7.5-6s7 2 7.5 6"],
  shield: ["M12 3l7 2.6v5.4c0 4.6-2.8 7.9-7 10-4.2-2.1-7-5.4-7-10V5.6z"],
  panel: ["M4 5h16a1 1 0 0 1 1 1v12a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1V6a1 1 0 0 1 1-1z", "M15 5v14", "M17.5 9h1", "M17.5 12h1"],
  menu: ["M4 7h16", "M4 12h16", "M4 17h16"],
  sun: ["M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8z", "M12 2.5V5", "M12 19v2.5", "M2.5 12H5", "M19 12h2.5", "M5.3 5.3 7 7", "M17 17l1.7 1.7", "M18.7 5.3 17 7", "M7 17l-1.7 1.7"],
  moon: ["M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5z"],
  reply: ["M9 6 4 11l5 5", "M4 11h10a6 6 0 0 1 6 6v2"],
  copy: ["M9 9h10a1 1 0 0 1 1 1v10a1 1 0 0 1-1 1H9a1 1 0 0 1-1-1V10a1 1 0 0 1 1-1z", "M5 15H4a1 1 0 0 1-1-1V4a1 1 0 0 1 1-1h10a1 1 0 0 1 1 1v1"],
  check: ["M5 12.5l4.5 4.5L19 7"],
  more: ["M5 11.1a.9.9 0 1 0 0 1.8.9.9 0 0 0 0-1.8z", "M12 11.1a.9.9 0 1 0 0 1.8.9.9 0 0 0 0-1.8z", "M19 11.1a.9.9 0 1 0 0 1.8.9.9 0 0 0 0-1.8z"],
  refresh: ["M20 11a8 8 0 1 0-2.4 6.2", "M20 5v6h-6"],
  close: ["M6 6l12 12", "M18 6 6 18"],
  plus: ["M12 5v14", "M5 12h14"],
  send: ["M4 12 20.5 4.5 16 20l-4.5-6.5z", "M20.5 4.5l-9 9"],
  eye: ["M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12z", "M12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6z"],
  file: ["M7 3h7l5 5v12a1 1 0 0 1-1 1H7a1 1 0 0 1-1-1V4a1 1 0 0 1 1-1z", "M14 3v5h5"],
  clip: ["M20 11.5l-8 8a5 5 0 0 1-7-7l8.5-8.5a3.3 3.3 0 0 1 4.7 4.7L9.7 17.2a1.7 1.7 0 0 1-2.4-2.4l7.7-7.6"],
  down: ["M6 9.5l6 6 6-6"],
  arrowDown: ["M12 5v14", "M6 13l6 6 6-6"],
  left: ["M15 5l-7 7 7 7"],
  right: ["M9 5l7 7-7 7"],
  id: ["M4 6h16a1 1 0 0 1 1 1v10a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1V7a1 1 0 0 1 1-1z", "M7.5 15v-6", "M11.5 15V9h2a3 3 0 0 1 0 6z"],
  pause: ["M8.5 5v14", "M15.5 5v14"],
  play: ["M7 4.5l12 7.5-12 7.5z"],
  trash: ["M4 7h16", "M9.5 7V4.5h5V7", "M6 7l1 13h10l1-13"],
  slash: ["M15.5 4l-7 16"],
  clock: ["M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18z", "M12 7v5.2l3.5 2"],
  bolt: ["M13 3 5 14h6l-1 7 8-11h-6z"],
  gauge: ["M4.5 18a9 9 0 1 1 15 0", "M12 14l4-5"],
  coins: ["M9 12a6 3 0 1 0 0-6 6 3 0 0 0 0 6z", "M3 9v6c0 1.7 2.7 3 6 3", "M15 9v3", "M15 18a6 3 0 1 0 0-6 6 3 0 0 0 0 6z", "M9 15v3c0 1.7 2.7 3 6 3s6-1.3 6-3v-3"],
  pulse: ["M3 12h4l3-8 4 16 3-8h4"],
  link: ["M14 4h6v6", "M20 4l-9 9", "M18 14v5a1 1 0 0 1-1 1H5a1 1 0 0 1-1-1V7a1 1 0 0 1 1-1h5"],
  app: ["M4 4h6v6H4z", "M14 4h6v6h-6z", "M4 14h6v6H4z", "M14 17h6", "M17 14v6"],
  lock: ["M6 11h12a1 1 0 0 1 1 1v8a1 1 0 0 1-1 1H6a1 1 0 0 1-1-1v-8a1 1 0 0 1 1-1z", "M8 11V8a4 4 0 0 1 8 0v3"],
};

const SVG = "http://www.w3.org/2000/svg";

/**
 * @param {keyof typeof PATHS} name
 * @param {string} [label] what a screen reader says; without one the icon is decoration
 * @returns {SVGSVGElement}
 */
export function icon(name, label) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  if (label) {
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", label);
  } else svg.setAttribute("aria-hidden", "true");
  for (const d of PATHS[name] ?? []) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", d);
    svg.append(path);
  }
  return svg;
}
