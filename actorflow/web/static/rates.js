// What vertices do now, from two looks at what they have done.

const before = new Map();

/** Return, by id, records in and out per second and the shares of time that the subtasks of each vertex were busy and held up. */
export function ratesOf(job) {
  const last = before.get(job.jid);
  const seconds = last ? (job.now - last.now) / 1000 : 0;
  const rates = new Map();
  const again = last && last.attempt === job.attempt && seconds > 0;
  for (const { id, parallelism, metrics } of job.vertices) {
    const old = again ? last.metrics.get(id) : undefined;
    if (!old) continue;
    const per = (name) => Math.max(0, metrics[name] - old[name]) / seconds;
    const shareOf = (name) => Math.min(1, per(name) / 1000 / parallelism);
    rates.set(id, {
      in: per("read-records"), out: per("write-records"),
      busy: shareOf("accumulated-busy-time"), held: shareOf("accumulated-backpressured-time"),
    });
  }
  before.set(job.jid, { now: job.now, attempt: job.attempt, metrics: new Map(job.vertices.map(({ id, metrics }) => [id, metrics])) });
  return rates;
}
