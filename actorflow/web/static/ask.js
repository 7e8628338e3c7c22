// Questions to REST. A token, if the server wants one, is kept for this tab only.

const KEPT = "actorflow-token";

export class Refused extends Error {
  constructor(status, reasons) {
    super(reasons.join("; "));
    this.status = status;
  }
}

export function keepToken(token) {
  sessionStorage.setItem(KEPT, token);
}

/** Return what a path answers; parts of the path are given one by one, and are encoded here. */
export async function ask(parts, { method = "GET", query = "", as = "json", body } = {}) {
  const token = sessionStorage.getItem(KEPT);
  const headers = { ...(token && { Authorization: `Bearer ${token}` }), ...(body && { "Content-Type": "application/json" }) };
  const answer = await fetch(`/${parts.map(encodeURIComponent).join("/")}${query}`, { method, headers, body: body && JSON.stringify(body) });
  if (!answer.ok) {
    const told = await answer.json().catch(() => ({}));
    throw new Refused(answer.status, told.errors ?? [`${answer.status} ${answer.statusText}`]);
  }
  return answer[as]();
}
