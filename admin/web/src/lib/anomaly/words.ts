import type { Anomaly, AnomalySensor } from '$lib/api/types';
import type { Messages } from '$lib/i18n/catalogue';

/** What the words about a sensor need of the page: its language, the names of metrics and how values are written. */
export interface Speech {
  t: Messages;
  /** The server's own words are English. */
  english: boolean;
  metric: (name: string) => string;
  value: (value: number, metric: string) => string;
}

/** What is unusual of a sensor: in the server's words where the page speaks its language, else in the page's. */
export function says(sensor: AnomalySensor, speech: Speech): string {
  if (speech.english && sensor.text) return sensor.text;
  const { t, metric, value } = speech;
  const name = metric(sensor.metric);
  const now = sensor.value === undefined ? '–' : value(sensor.value, sensor.metric);
  const say = t.anomaly.says[sensor.kind] ?? t.anomaly.says['level']!;
  const said = say(name, now, (sensor.with ?? []).map(metric).join(', '));
  return sensor.low === undefined || sensor.high === undefined
    ? said
    : `${said}; ${t.anomaly.usual(value(sensor.low, sensor.metric), value(sensor.high, sensor.metric))}`;
}

/** What an anomaly is about: its strongest sensor in words. */
export function headline(anomaly: Anomaly, speech: Speech): string {
  const main = anomaly.sensors[0];
  if (speech.english && anomaly.text) return anomaly.text;
  return main ? says(main, speech) : speech.t.anomaly.open;
}

/** A score from 0 to 1, rounded down: with two digits, and from 0.99 on, where alerts begin, with three. */
export function formatScore(score: number, locale: string): string {
  const digits = score >= 0.99 && score < 1 ? 3 : 2;
  // 0.29 × 100 is a little less than 29.
  const shown = Math.floor(score * 10 ** digits + 1e-9) / 10 ** digits;
  return shown.toLocaleString(locale, { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** How a score looks: 0.99 is where the budget of alerts begins, half of the way there is worth a glance. */
export function scoreTone(score: number): 'ok' | 'warn' | 'bad' {
  return score >= 0.99 ? 'bad' : score >= 0.5 ? 'warn' : 'ok';
}
