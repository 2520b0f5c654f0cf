/** Scripts that run before the page and count its work: shifts of the layout, long tasks, mutations, moved rows. */

/** Begins to count at the first script of the page. */
export const counting = () => {
  const counts = { shifts: [], longTasks: [], mutations: 0, nodes: 0, animations: [], moved: [], frames: 0 };
  window.counts = counts;
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      counts.shifts.push({
        value: entry.value,
        at: entry.startTime,
        byPerson: entry.hadRecentInput,
        nodes: entry.sources.map(({ node }) => node?.className ?? node?.parentElement?.className ?? ""),
      });
    }
  }).observe({ type: "layout-shift", buffered: true });
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) counts.longTasks.push({ at: entry.startTime, ms: entry.duration });
  }).observe({ type: "longtask", buffered: true });
  new MutationObserver((records) => {
    counts.mutations += records.length;
    counts.nodes += records.filter(({ type }) => type === "childList").length;
  }).observe(document, { subtree: true, childList: true, characterData: true, attributes: true });
  const animate = Element.prototype.animate;
  Element.prototype.animate = function (frames, options) {
    counts.animations.push({
      element: this,
      at: performance.now(),
      duration: typeof options === "number" ? options : options?.duration,
      properties: [...new Set((Array.isArray(frames) ? frames : [frames]).flatMap(Object.keys))],
    });
    return animate.call(this, frames, options);
  };
};

/** Compares the places of all rows in each frame. A row that is in two frames at two places has moved. */
export const followRows = () => {
  const { counts } = window;
  let last = new Map();
  const frame = () => {
    const places = new Map();
    for (const row of document.querySelectorAll("main [data-row]")) {
      const { top } = row.getBoundingClientRect();
      places.set(row.dataset.row, top);
      const before = last.get(row.dataset.row);
      if (before !== undefined && Math.abs(before - top) >= 1) counts.moved.push(row.dataset.row);
    }
    counts.frames += 1;
    last = places;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
};

/** The counts since the last call. */
export const takeCounts = (page) =>
  page.evaluate(() => {
    const { shifts, longTasks, mutations, nodes, animations, moved, frames } = window.counts;
    const taken = { shifts, longTasks, mutations, nodes, moved, frames };
    taken.animations = animations.map(({ at, duration, properties }) => ({ at, duration, properties }));
    Object.assign(window.counts, {
      shifts: [],
      longTasks: [],
      mutations: 0,
      nodes: 0,
      animations: [],
      moved: [],
      frames: 0,
    });
    return taken;
  });
