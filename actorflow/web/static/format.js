// Figures as people read them. What is not known is a dash.

const NONE = "–";
const known = (value) => value !== null && value !== undefined && value >= 0;

export function count(value) {
  return known(value) ? Math.round(value).toLocaleString("en") : NONE;
}

/** 950/s, 12.3 k/s, 4.6 M/s */
export function rate(value) {
  if (!known(value)) return NONE;
  const [size, unit] = value >= 1e9 ? [1e9, " G"] : value >= 1e6 ? [1e6, " M"] : value >= 1e4 ? [1e3, " k"] : [1, ""];
  const scaled = value / size;
  return `${scaled === 0 || scaled >= 100 ? Math.round(scaled) : scaled.toFixed(1)}${unit}/s`;
}

export function bytes(value) {
  if (!known(value)) return NONE;
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  for (; value >= 1000 && at < units.length - 1; at++) value /= 1000;
  return `${at === 0 ? value : value.toFixed(1)} ${units[at]}`;
}

export function duration(ms) {
  if (!known(ms)) return NONE;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const s = Math.floor(ms / 1000);
  if (s < 60) return `${(ms / 1000).toFixed(1)} s`;
  const parts = [[86400, "d"], [3600, "h"], [60, "m"], [1, "s"]];
  const texts = [];
  let left = s;
  for (const [size, unit] of parts) {
    const whole = Math.floor(left / size);
    left -= whole * size;
    if (whole || texts.length) texts.push(`${whole}${unit}`);
  }
  return texts.slice(0, 2).join(" ");
}

export function time(ms) {
  return known(ms) ? new Date(ms).toLocaleString() : NONE;
}

export function share(ratio) {
  return known(ratio) ? `${Math.round(ratio * 100)} %` : NONE;
}
