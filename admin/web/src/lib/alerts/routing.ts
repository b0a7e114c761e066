import type { NotificationRoute, Schedule } from '$lib/api/types';
import type { Messages } from '$lib/i18n/catalogue';
import { matcherText } from './matchers';

/** A time of the week in one line: "Mon, Tue 08:00–20:00"; what is left out is the whole of it. */
export function scheduleLine(schedule: Schedule, days: Record<string, string>): string {
  const named = (schedule.days ?? []).map((day) => days[day] ?? day).join(', ');
  const hours = schedule.from || schedule.to ? `${schedule.from ?? '00:00'}–${schedule.to ?? '24:00'}` : '';
  return [named, hours].filter((part) => part !== '').join(' ');
}

/** Which alerts a route is for, part by part; none when it takes every alert. */
export function routeTakes(route: NotificationRoute, t: Messages): string[] {
  return [
    (route.severities ?? []).map((severity) => t.severity[severity] ?? severity).join(', '),
    (route.sites ?? []).join(', '),
    ...(route.matchers ?? []).map(matcherText),
    route.schedule ? t.notifications.at(scheduleLine(route.schedule, t.rules.days)) : '',
  ].filter((part) => part !== '');
}

/** How a route tells, part by part. */
export function routeHow(route: NotificationRoute, t: Messages): string[] {
  const n = t.notifications;
  return [
    route.group_by?.length ? n.grouped(route.group_by.join(', ')) : '',
    route.group_wait ? n.waits(route.group_wait) : '',
    route.repeat_interval ? n.repeats(route.repeat_interval) : '',
    route.resolved ? n.end : '',
    ...(route.escalations ?? []).map(({ after, targets }) => n.escalates(after, targets.join(', '))),
    route.continue ? n.goesOn : '',
  ].filter((part) => part !== '');
}

/** Reads routes as somebody has written them; what is no list of routes comes back as what is wrong. */
export function parseRoutes(text: string): { routes: NotificationRoute[] } | { fault: string } {
  let read: unknown;
  try {
    read = JSON.parse(text);
  } catch (error) {
    return { fault: error instanceof Error ? error.message : String(error) };
  }
  if (!Array.isArray(read)) return { fault: '[ … ]' };
  const at = read.findIndex((route: unknown) => typeof route !== 'object' || route === null || typeof (route as { name?: unknown }).name !== 'string');
  if (at >= 0) return { fault: `[${at}].name` };
  return { routes: read as NotificationRoute[] };
}

/** The list with one entry moved by so many places; as it is when that leads out of it. */
export function moved<T>(list: T[], from: number, by: number): T[] {
  const to = from + by;
  const item = list[from];
  if (item === undefined || to < 0 || to >= list.length) return list;
  const rest = list.filter((_, i) => i !== from);
  return [...rest.slice(0, to), item, ...rest.slice(to)];
}
