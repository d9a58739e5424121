// Connects the player and the timeline of each result that appears on the page.
(() => {
  const connect = result => {
    result.dataset.ready = "";
    const find = name => result.querySelector(name);
    const video = find(".tam-player"), timeline = find(".tam-timeline"), cursor = find(".tam-cursor");
    const reading = find(".tam-reading"), end = Number(result.dataset.end);
    const {edges, best} = JSON.parse(result.dataset.readings);
    const show = time => {
      cursor.style.left = `${100 * Math.min(time / end, 1)}%`;
      const place = edges.findIndex(edge => time < edge);
      const [name, share] = best[place < 0 ? best.length - 1 : place];
      reading.textContent = `${time.toFixed(2)} s · ${name} ${share.toFixed(1)} %`;
      timeline.setAttribute("aria-valuenow", time.toFixed(2));
      timeline.setAttribute("aria-valuetext", reading.textContent);
    };
    const go = time => {
      const wanted = Math.max(0, Math.min(time, end));
      video.currentTime = wanted;
      show(wanted);
    };
    const follow = () => {
      if (!result.isConnected) return;
      show(video.currentTime);
      if (!video.paused && !video.ended) requestAnimationFrame(follow);
    };
    const at = event => {
      const box = timeline.getBoundingClientRect();
      go(end * (event.clientX - box.left) / box.width);
    };
    video.addEventListener("play", follow);
    for (const name of ["seeked", "timeupdate", "pause"]) video.addEventListener(name, () => show(video.currentTime));
    timeline.addEventListener("pointerdown", event => { timeline.setPointerCapture(event.pointerId); at(event); });
    timeline.addEventListener("pointermove", event => { if (event.buttons) at(event); });
    timeline.addEventListener("keydown", event => {
      const step = {ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1}[event.key];
      const time = event.key === "Home" ? 0 : event.key === "End" ? end : step && video.currentTime + step * end / 50;
      if (time === undefined) return;
      event.preventDefault();
      go(time);
    });
    for (const frame of result.querySelectorAll(".tam-frame"))
      frame.addEventListener("click", () => { video.pause(); go(Number(frame.dataset.seconds)); });
    show(0);
  };
  new MutationObserver(() => document.querySelectorAll(".tam-result:not([data-ready])").forEach(connect))
    .observe(document, {childList: true, subtree: true});
})();
