import type { Alert, AlertEvent, Incident, Severity } from '$lib/api/types';
import type { Messages } from '$lib/i18n/catalogue';
import type { Tone } from '$lib/kiosks/verdict';
import type { Entry } from './inbox';

const TONES: Record<Severity, Tone> = { critical: 'bad', warning: 'warn', info: 'unknown' };

export const severityTone = (severity: Severity): Tone => TONES[severity] ?? 'unknown';

/** What is wrong, in the words of the server. */
export const headline = (entry: Entry): string => (entry.kind === 'alerts' ? entry.item.reason || entry.item.rule : entry.item.title);

/** Where it is: the kiosk, or how many of them. The platform itself has an empty serial. */
export function whose(entry: Entry, t: Messages): string {
  if (entry.kind === 'alerts') return entry.item.serial || t.alerts.platform;
  return t.alerts.kiosks(String(entry.item.kiosks), String(entry.item.of_kiosks));
}

/** Since when: an alert's condition may hold for longer than the alert is open. */
export const since = (entry: Entry): string => (entry.kind === 'alerts' ? entry.item.since : entry.item.opened_at);

/** Why nobody is told, in words; empty when somebody is. A silence comes with its id. */
export function quietWhy(suppressed: string | undefined, t: Messages): string {
  if (!suppressed) return '';
  const [word = ''] = suppressed.split(':');
  return t.alerts.because[word] ?? suppressed;
}

/** Whether a snooze still holds. */
export const snoozed = (item: Alert | Incident, now: number): boolean =>
  item.snoozed_until !== undefined && Date.parse(item.snoozed_until) > now;

/** How an entry of a timeline looks. */
export function eventTone(event: AlertEvent): Tone {
  if (event.kind === 'opened' || event.kind === 'not_notified') return 'bad';
  if (event.kind === 'escalated' || event.kind === 'flapping' || event.kind === 'reason') return 'warn';
  if (event.kind === 'resolved' || event.kind === 'acknowledged') return 'ok';
  return 'unknown';
}
