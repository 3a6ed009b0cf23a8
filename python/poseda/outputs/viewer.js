// The page's script. Coordinates are those of the data: camera frame, metres, x right, y down,
// z forward; numbers of the data are whole millimetres.
"use strict";
(() => {
  const COLOURS = { left: "#0072B2", right: "#D55E00", centre: "#3A3A3A" };
  const PEOPLE = ["#CC79A7", "#009E73", "#E69F00", "#56B4E9", "#8C6BB1", "#7A7A7A"];
  const GRID = "#E4E4E4", SHADOW = "#D4D4D4", INK = "#222222";
  const VIEWS = { front: [0, 0.12], side: [Math.PI / 2, 0.12], top: [0, 1.5] };
  const START = [0.7, 0.24]; // azimuth, elevation, as in the figures
  const FIELD = Math.tan(0.5 * 0.55); // half the angle of view
  const NEAR = 0.05; // metres before the eye
  const BONE = 0.032; // metres wide
  const PATH = 1000; // points of a way on the floor
  const TRAIL = 3; // seconds
  const PAUSE = 1; // seconds, the longest that playing waits in a gap between frames

  const element = (id) => document.getElementById(id);
  const data = JSON.parse(element("data").textContent);
  const scene = element("scene"), flat = element("flat"), slider = element("frame");
  const joints = data.parents.length;
  const bones = data.parents.map((parent, joint) => [parent, joint]).slice(1);
  const colours = data.parents.map((_, joint) =>
    data.left.includes(joint) ? COLOURS.left
      : data.right.includes(joint) ? COLOURS.right : COLOURS.centre);

  let clip = null; // of data.clips, the one that is shown
  let wanted = 0; // its number, or that of the one that is being unpacked
  let people = []; // {name, colour, offset, at, points, seen, pose2d, path}
  let frames = null; // frame numbers, ascending
  let times = null; // seconds of each on the player's clock
  let now = 0; // place in frames
  let playing = null; // {since, from} or null
  let queued = false;
  const view = { azimuth: 0, elevation: 0, distance: 1, pan: [0, 0, 0], follow: -1 };

  // Data

  // Differences down each column, signs folded into the lowest bit, byte planes, deflate, base64.
  async function unpack({ shape: [rows, columns], data: text }) {
    const letters = atob(text), bytes = new Uint8Array(letters.length);
    for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    const planes = new Uint8Array(await new Response(stream).arrayBuffer());
    const count = rows * columns, values = new Int32Array(count);
    for (let column = 0, i = 0; column < columns; column++) {
      for (let row = 0, sum = 0; row < rows; row++, i++) {
        const folded = planes[i] | (planes[count + i] << 8) | (planes[2 * count + i] << 16)
          | (planes[3 * count + i] << 24);
        sum += (folded >>> 1) ^ -(folded & 1);
        values[row * columns + column] = sum;
      }
    }
    return values;
  }

  async function load(packed) {
    const numbers = await unpack(packed.frames), clock = new Float64Array(numbers.length);
    for (let k = 1; k < numbers.length; k++) {
      clock[k] = clock[k - 1] + Math.min((numbers[k] - numbers[k - 1]) / data.playFps, PAUSE);
    }
    const loaded = await Promise.all(packed.people.map(async (person, number) => ({
      name: person.name,
      colour: PEOPLE[number % PEOPLE.length],
      offset: person.offset,
      at: await unpack(person.at),
      points: await unpack(person.points),
      seen: person.seen ? await unpack(person.seen) : null,
      pose2d: person.pose2d ? await unpack(person.pose2d) : null,
    })));
    for (const person of loaded) person.path = data.absolute ? pathOf(person) : [];
    return { numbers, clock, loaded };
  }

  async function open(number) {
    wanted = number;
    const { numbers, clock, loaded } = await load(data.clips[number]);
    if (wanted !== number) return; // another was asked for meanwhile
    play(false);
    [clip, frames, times, people, now] = [data.clips[number], numbers, clock, loaded, 0];
    view.follow = -1;
    describe();
    look(START);
    draw();
  }

  // Where joint 0 is in a row: place in frames, x, z, and whether frames are missing before it.
  function wayAt(person, row) {
    const first = row * joints * 3, at = person.at[row];
    const gap = row === 0 || at - person.at[row - 1] > 1;
    return [at, person.points[first] / 1000, person.points[first + 2] / 1000, gap];
  }

  // The way of joint 0, a point wherever it has moved by `apart` metres, which is as much as keeps
  // the way short enough to be drawn at once.
  function pathOf(person, apart = 0.03) {
    const path = [];
    let gap = true;
    for (let row = 0; row < person.at.length; row++) {
      const point = wayAt(person, row), last = path[path.length - 1];
      gap ||= point[3];
      if (gap || Math.hypot(point[1] - last[1], point[2] - last[2]) >= apart) {
        point[3] = gap;
        path.push(point);
        gap = false;
      }
    }
    return path.length > PATH && apart < 10 ? pathOf(person, 1.5 * apart) : path;
  }

  // The last place in an ascending array whose value is at most the one asked for; -1 if none.
  function lastUpTo(array, value) {
    let low = 0, high = array.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (array[middle] <= value) low = middle + 1; else high = middle;
    }
    return low - 1;
  }

  function rowOf(person) {
    const row = lastUpTo(person.at, now);
    return row >= 0 && person.at[row] === now ? row : -1;
  }

  function pointsOf(person, row) {
    const points = [];
    for (let joint = 0; joint < joints; joint++) {
      const first = (row * joints + joint) * 3;
      points.push([0, 1, 2].map((axis) => person.points[first + axis] / 1000));
    }
    return points;
  }

  const moved = (points, by) => points.map((point) => point.map((value, axis) => value + by[axis]));

  function unsure(person, row, joint) {
    return person.seen !== null && person.seen[row * joints + joint] === 0;
  }

  // The view: an eye that looks at `aim` from `distance`

  function eyeOf() {
    const [sa, ca] = [Math.sin(view.azimuth), Math.cos(view.azimuth)];
    const [se, ce] = [Math.sin(view.elevation), Math.cos(view.elevation)];
    let centre = clip.view.centre;
    const followed = people[view.follow];
    if (followed) {
      const row = Math.max(0, lastUpTo(followed.at, now));
      centre = moved([pointsOf(followed, row)[0]], followed.offset)[0];
    }
    const { width, height } = scene;
    return {
      aim: centre.map((value, axis) => value + view.pan[axis]),
      right: [ca, 0, sa],
      up: [-sa * se, -ce, ca * se],
      forward: [-sa * ce, se, ca * ce],
      scale: Math.min(width, height) / 2 / FIELD, // pixels per metre at one metre
      middle: [width / 2, height / 2],
    };
  }

  const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];

  // To across and up in metres, and depth.
  function seen(eye, point) {
    const from = [point[0] - eye.aim[0], point[1] - eye.aim[1], point[2] - eye.aim[2]];
    return [dot(from, eye.right), dot(from, eye.up), dot(from, eye.forward) + view.distance];
  }

  function page(eye, [across, up, depth]) {
    const pixels = eye.scale / depth;
    return [eye.middle[0] + across * pixels, eye.middle[1] - up * pixels];
  }

  // The ends of a segment on the page, cut off where it comes too near; null if all of it does.
  function segment(eye, a, b) {
    let [near, far] = [seen(eye, a), seen(eye, b)];
    const swap = near[2] > far[2];
    if (swap) [near, far] = [far, near];
    if (far[2] <= NEAR) return null;
    if (near[2] < NEAR) {
      const part = (NEAR - near[2]) / (far[2] - near[2]);
      near = near.map((value, axis) => value + part * (far[axis] - value));
    }
    const ends = [page(eye, near), page(eye, far)];
    return swap ? ends.reverse() : ends;
  }

  // Drawing

  function draw() {
    queued = false;
    fit(scene);
    const context = scene.getContext("2d");
    context.clearRect(0, 0, scene.width, scene.height);
    context.lineCap = context.lineJoin = "round";
    const eye = eyeOf();
    const shown = [];
    for (const person of people) {
      const row = rowOf(person);
      if (row >= 0) shown.push({ person, row, points: moved(pointsOf(person, row), person.offset) });
    }
    drawFloor(context, eye);
    if (element("path").checked) for (const person of people) drawPath(context, eye, person);
    for (const { points } of shown) drawShadow(context, eye, points);
    drawBodies(context, eye, shown);
    for (const each of shown) drawName(context, eye, each);
    if (!element("input").hidden) drawInput();
    const number = clip.first + frames[now];
    const time = data.fps ? `, ${(number / data.fps).toFixed(2)} s` : "";
    element("label").value = `frame ${number}${time}`;
    slider.value = now;
    slider.setAttribute("aria-valuetext", element("label").value);
  }

  function redraw() {
    if (!queued) {
      queued = true;
      requestAnimationFrame(draw);
    }
  }

  function fit(canvas) {
    const ratio = window.devicePixelRatio || 1;
    const width = Math.max(1, Math.round(canvas.clientWidth * ratio));
    const height = Math.max(1, Math.round(canvas.clientHeight * ratio));
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
  }

  function line(context, ends) {
    if (!ends) return;
    context.moveTo(ends[0][0], ends[0][1]);
    context.lineTo(ends[1][0], ends[1][1]);
  }

  function stroke(context, colour, width) {
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.stroke();
  }

  const ratio = () => window.devicePixelRatio || 1;

  function drawFloor(context, eye) {
    const { floor, low, high, step } = clip.view;
    context.beginPath();
    for (let x = low[0]; x <= high[0] + 1e-6; x += step) {
      line(context, segment(eye, [x, floor, low[1]], [x, floor, high[1]]));
    }
    for (let z = low[1]; z <= high[1] + 1e-6; z += step) {
      line(context, segment(eye, [low[0], floor, z], [high[0], floor, z]));
    }
    stroke(context, GRID, ratio());
  }

  // The whole way faintly, and the last seconds of it in full.
  function drawPath(context, eye, person) {
    const { floor } = clip.view;
    const step = ([, fromX, fromZ], [, x, z, anew]) => {
      if (!anew) line(context, segment(eye, [fromX, floor, fromZ], [x, floor, z]));
    };
    context.beginPath();
    for (let i = 1; i < person.path.length; i++) step(person.path[i - 1], person.path[i]);
    context.globalAlpha = 0.35;
    stroke(context, person.colour, 1.6 * ratio());
    context.globalAlpha = 1;
    const since = lastUpTo(times, times[now] - TRAIL) + 1, until = lastUpTo(person.at, now);
    context.beginPath();
    for (let row = lastUpTo(person.at, since) + 1; row <= until; row++) {
      if (row > 0) step(wayAt(person, row - 1), wayAt(person, row));
    }
    stroke(context, person.colour, 1.6 * ratio());
  }

  const widthAt = (eye, depth) =>
    Math.min(14 * ratio(), Math.max(1.5 * ratio(), BONE * eye.scale / Math.max(depth, NEAR)));

  function drawShadow(context, eye, points) {
    const dropped = points.map(([x, , z]) => [x, clip.view.floor, z]);
    context.beginPath();
    for (const [parent, joint] of bones) line(context, segment(eye, dropped[parent], dropped[joint]));
    stroke(context, SHADOW, 0.8 * widthAt(eye, seen(eye, dropped[0])[2]));
  }

  // Bones and heads of all people, the far before the near, with a white edge where they cross.
  function drawBodies(context, eye, shown) {
    const parts = [];
    for (const { person, row, points } of shown) {
      const depth = points.map((point) => seen(eye, point)[2]);
      for (const [parent, joint] of bones) {
        const ends = segment(eye, points[parent], points[joint]);
        if (ends) parts.push({ depth: (depth[parent] + depth[joint]) / 2, ends, joint });
      }
      for (let joint = 0; joint < joints; joint++) {
        const hollow = unsure(person, row, joint);
        if (depth[joint] > NEAR && (hollow || joint === data.head)) {
          const at = page(eye, seen(eye, points[joint]));
          parts.push({ depth: depth[joint] - (hollow ? 0.2 : BONE), at, joint, hollow });
        }
      }
    }
    parts.sort((a, b) => b.depth - a.depth);
    for (const { depth, ends, at, joint, hollow } of parts) {
      const width = widthAt(eye, depth);
      context.beginPath();
      if (ends) {
        // The white edge stops short of the joints, where the bones are to meet.
        const [[ax, ay], [bx, by]] = ends, [dx, dy] = [0.2 * (bx - ax), 0.2 * (by - ay)];
        line(context, [[ax + dx, ay + dy], [bx - dx, by - dy]]);
        stroke(context, "#FFFFFF", 1.7 * width);
        context.beginPath();
        line(context, ends);
        stroke(context, colours[joint], width);
      } else {
        const radius = joint === data.head ? 1.5 * width : 0.9 * width;
        context.arc(at[0], at[1], radius, 0, 2 * Math.PI);
        context.fillStyle = hollow ? "#FFFFFF" : colours[joint];
        context.fill();
        if (hollow) stroke(context, colours[joint], 0.4 * width);
      }
    }
  }

  function drawName(context, eye, { person, points }) {
    if (person.name === "" && people.length === 1) return;
    const top = points.reduce((best, point) => (point[1] < best[1] ? point : best));
    const place = seen(eye, [top[0], top[1] - 0.14, top[2]]);
    if (place[2] <= NEAR) return;
    const [x, y] = page(eye, place), size = 12 * ratio();
    const name = person.name.length > 24 ? person.name.slice(0, 23) + "\u2026" : person.name;
    context.font = `${size}px system-ui, sans-serif`;
    context.textAlign = "center";
    context.lineWidth = 3 * ratio();
    context.strokeStyle = "#FFFFFF";
    context.strokeText(name, x, y);
    context.fillStyle = INK;
    context.fillText(name, x, y);
    if (data.absolute) {
      context.beginPath();
      context.arc(x - context.measureText(name).width / 2 - size * 0.6, y - size * 0.35, size * 0.3,
        0, 2 * Math.PI);
      context.fillStyle = person.colour;
      context.fill();
    }
  }

  // What was lifted, in the box that holds all frames.
  function drawInput() {
    fit(flat);
    const context = flat.getContext("2d");
    context.clearRect(0, 0, flat.width, flat.height);
    context.lineCap = "round";
    const { centre, half, unit } = clip.input;
    const scale = 0.47 * flat.width / half;
    for (const person of people) {
      const row = rowOf(person);
      if (row < 0 || person.pose2d === null) continue;
      const point = (joint) => [0, 1].map((axis) =>
        flat.width / 2
          + scale * (person.pose2d[(row * joints + joint) * 2 + axis] * unit - centre[axis]));
      for (const [parent, joint] of bones) {
        context.beginPath();
        line(context, [point(parent), point(joint)]);
        stroke(context, colours[joint], 2 * ratio());
      }
      for (let joint = 0; joint < joints; joint++) {
        if (!unsure(person, row, joint)) continue;
        context.beginPath();
        context.arc(...point(joint), 2.5 * ratio(), 0, 2 * Math.PI);
        context.fillStyle = "#FFFFFF";
        context.fill();
        stroke(context, colours[joint], ratio());
      }
    }
  }

  // Controls

  function seek(place) {
    now = Math.min(frames.length - 1, Math.max(0, Math.round(place)));
    if (playing) playing = { since: performance.now(), from: times[now] };
    redraw();
  }

  function play(start) {
    if (start === (playing !== null) || frames.length < 2) return;
    if (start && now === frames.length - 1) now = 0;
    playing = start ? { since: performance.now(), from: times[now] } : null;
    const button = element("play");
    button.textContent = start ? "\u275A\u275A" : "\u25B6";
    button.setAttribute("aria-label", start ? "Pause" : "Play");
    if (start) requestAnimationFrame(tick);
  }

  function tick(time) {
    if (!playing) return;
    const speed = Number(element("speed").value);
    const clock = playing.from + Math.max(0, time - playing.since) / 1000 * speed;
    if (clock > times[times.length - 1] + 1 / data.playFps) {
      seek(0); // and again from the start
    } else {
      now = Math.max(0, lastUpTo(times, clock));
      draw();
    }
    requestAnimationFrame(tick);
  }

  function turn(azimuth, elevation) {
    view.azimuth += azimuth;
    view.elevation = Math.min(1.55, Math.max(-1.55, view.elevation + elevation));
    redraw();
  }

  function zoom(factor) {
    const { radius } = clip.view;
    view.distance = Math.min(40 * radius, Math.max(0.05 * radius, view.distance * factor));
    redraw();
  }

  function pan(right, down) {
    const eye = eyeOf(), metres = view.distance / eye.scale * ratio();
    view.pan = view.pan.map((value, axis) =>
      value + metres * (down * eye.up[axis] - right * eye.right[axis]));
    redraw();
  }

  function look([azimuth, elevation]) {
    Object.assign(view, { azimuth, elevation, pan: [0, 0, 0] });
    view.distance = (people[view.follow] ? clip.view.near : clip.view.radius) / FIELD * 1.05;
    redraw();
  }

  const pointers = new Map(); // fingers or mouse that hold the view: id to place

  function drag(event) {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const [dx, dy] = [event.clientX - before[0], event.clientY - before[1]];
    const others = [...pointers].filter(([id]) => id !== event.pointerId);
    pointers.set(event.pointerId, [event.clientX, event.clientY]);
    if (others.length) { // two fingers
      const [, [x, y]] = others[0];
      const apart = Math.hypot(event.clientX - x, event.clientY - y);
      zoom(Math.hypot(before[0] - x, before[1] - y) / Math.max(1, apart));
      pan(dx / 2, dy / 2);
    } else if (event.shiftKey || event.buttons & 6) {
      pan(dx, dy);
    } else {
      turn(-0.008 * dx, 0.008 * dy);
    }
  }

  function control() {
    slider.addEventListener("input", () => seek(slider.valueAsNumber));
    element("play").addEventListener("click", () => play(playing === null));
    element("speed").addEventListener("change", () => seek(now));
    element("path").addEventListener("change", redraw);
    element("path-label").hidden = !data.absolute;
    for (const button of document.querySelectorAll("[data-view]")) {
      button.addEventListener("click", () => look(VIEWS[button.dataset.view]));
    }
    data.clips.forEach(({ name }, number) => element("clip").add(new Option(name, number)));
    element("clip-label").hidden = data.clips.length === 1;
    element("clip").addEventListener("change", () => open(Number(element("clip").value)));
    element("follow").addEventListener("change", () => {
      view.follow = Number(element("follow").value);
      look([view.azimuth, view.elevation]);
    });

    scene.addEventListener("pointerdown", (event) => {
      scene.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, [event.clientX, event.clientY]);
    });
    scene.addEventListener("pointermove", drag);
    for (const end of ["pointerup", "pointercancel"]) {
      scene.addEventListener(end, (event) => pointers.delete(event.pointerId));
    }
    scene.addEventListener("contextmenu", (event) => event.preventDefault());
    scene.addEventListener("wheel", (event) => {
      event.preventDefault();
      zoom(Math.exp(event.deltaY * (event.deltaMode ? 0.04 : 0.0012)));
    }, { passive: false });
    scene.addEventListener("keydown", (event) => {
      const action = {
        ArrowLeft: () => turn(0.1, 0), ArrowRight: () => turn(-0.1, 0),
        ArrowUp: () => turn(0, 0.1), ArrowDown: () => turn(0, -0.1),
        "+": () => zoom(0.9), "=": () => zoom(0.9), "-": () => zoom(1 / 0.9), 0: () => look(START),
      }[event.key];
      if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      action();
    });
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === " " && !event.target.closest("button, select, input[type=checkbox]")) {
        event.preventDefault();
        play(playing === null);
      } else if (event.key === "," || event.key === ".") {
        play(false);
        seek(now + (event.key === "." ? 1 : -1));
      }
    });
    new ResizeObserver(redraw).observe(scene);
    window.addEventListener("resize", redraw);
  }

  // What the page says of the clip that is shown.
  function describe() {
    slider.max = frames.length - 1;
    element("about").textContent = clip.about;
    const follow = element("follow");
    follow.replaceChildren();
    ["nobody", ...people.map((person, number) => person.name || `person ${number + 1}`)]
      .forEach((name, number) => follow.add(new Option(name, number - 1)));
    element("follow-label").hidden = !data.absolute && people.length === 1;
    element("legend").hidden = data.left.length === 0;
    element("legend").querySelector(".unsure").hidden =
      !people.some((person) => person.seen?.includes(0));
    element("input").hidden = !clip.input;
    element("message").hidden = true;
  }

  async function start() {
    if (!window.DecompressionStream) throw new Error("this browser is older than 2023");
    await open(0);
    control();
  }

  // For tests and for the curious: what is drawn, in numbers.
  window.poseda = {
    ready: start().catch((error) => {
      element("message").textContent = `The poses cannot be shown: ${error.message}`;
      throw error;
    }),
    seek,
    open,
    look: (azimuth, elevation) => look([azimuth, elevation]),
    frame: () => clip.first + frames[now],
    view: () => ({ ...view }),
    positions: () => people.map((person) => [person.name, rowOf(person), person])
      .filter(([, row]) => row >= 0)
      .map(([name, row, person]) => ({ name, points: pointsOf(person, row) })),
    onPage: (point) => page(eyeOf(), seen(eyeOf(), point)).map((value) => value / ratio()),
  };
})();
