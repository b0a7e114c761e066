import { query, request } from './client';
import type {
  Alert, AlertEventList, AlertList, AlertRule, AlertRuleRequest, AlertStatistics, AlertSummary, AlertWord,
  AvailabilityAnswer, BacktestAnswer, BacktestRequest, DeliveryStatus, Incident, IncidentList, MaintenanceWindow,
  MaintenanceWindowRequest, Matcher, NotificationDelivery, NotificationDeliveryList, NotificationRoute, NotificationRoutes,
  NotificationTarget, NotificationTargetPatch, NotificationTargetRequest, Silence, SilencePreview, SilenceRequest, Visit,
} from './types';

// The calls about alerts, incidents, rules, silences, notifications, availability and visits.

/** What people deal with: alerts and incidents take the same calls. */
export interface Matters {
  alerts: Alert;
  incidents: Incident;
}
export type MatterKind = keyof Matters;

const part = encodeURIComponent;

/** Picks alerts; absent parts pick all. */
export interface AlertQuery {
  state?: string | undefined;
  severity?: string | undefined;
  serial?: string | undefined;
  site?: string | undefined;
  rule?: string | undefined;
  incident?: string | undefined;
  assignee?: string | undefined;
  acknowledged?: boolean | undefined;
  suppressed?: boolean | undefined;
  alone?: boolean | undefined;
  sort?: 'newest' | 'severity' | undefined;
  limit?: number | undefined;
  cursor?: string | undefined;
}

export const listAlerts = (q: AlertQuery, signal?: AbortSignal) => request<AlertList>('GET', `/alerts${query({ ...q })}`, { signal });

export const listIncidents = (q: Pick<AlertQuery, 'state' | 'site' | 'limit' | 'cursor'>, signal?: AbortSignal) =>
  request<IncidentList>('GET', `/incidents${query({ ...q })}`, { signal });

export const summariseAlerts = (signal?: AbortSignal) => request<AlertSummary>('GET', '/alerts/summary', { signal });

export const alertStatistics = (from: string, signal?: AbortSignal) =>
  request<AlertStatistics>('GET', `/alert-statistics${query({ from })}`, { signal });

export const getMatter = <K extends MatterKind>(kind: K, id: string, signal?: AbortSignal) =>
  request<Matters[K]>('GET', `/${kind}/${part(id)}`, { signal });

export const listMatterEvents = (kind: MatterKind, id: string, cursor?: string, signal?: AbortSignal) =>
  request<AlertEventList>('GET', `/${kind}/${part(id)}/timeline${query({ limit: 100, cursor })}`, { signal });

/** What somebody does to an alert or incident, with what the call takes. */
export type Deed =
  | { verb: 'acknowledge' | 'comment' | 'resolve'; body: { comment?: string } }
  | { verb: 'unacknowledge' }
  | { verb: 'assign'; body: { assignee: string } }
  | { verb: 'snooze'; body: { until: string; comment?: string } };

export const act = <K extends MatterKind>(kind: K, id: string, deed: Deed) =>
  request<Matters[K]>('POST', `/${kind}/${part(id)}/${deed.verb}`, 'body' in deed ? { body: deed.body } : {});

export const listSilences = (signal?: AbortSignal) => request<{ items: Silence[] }>('GET', '/silences', { signal });

export const createSilence = (body: SilenceRequest) => request<Silence>('POST', '/silences', { body });

export const previewSilence = (matchers: Matcher[], signal?: AbortSignal) =>
  request<SilencePreview>('POST', '/silences/preview', { body: { matchers }, signal });

export const endSilence = (id: string) => request<Silence>('DELETE', `/silences/${part(id)}`);

export const listMaintenanceWindows = (signal?: AbortSignal) =>
  request<{ items: MaintenanceWindow[] }>('GET', '/maintenance-windows', { signal });

export const createMaintenanceWindow = (body: MaintenanceWindowRequest) =>
  request<MaintenanceWindow>('POST', '/maintenance-windows', { body });

export const deleteMaintenanceWindow = (id: string) => request<void>('DELETE', `/maintenance-windows/${part(id)}`);

const rulePath = (name: string) => `/alert-rules/${part(name)}`;

export const listRules = (signal?: AbortSignal) => request<{ items: AlertRule[] }>('GET', '/alert-rules', { signal });

export const getRule = (name: string, signal?: AbortSignal) => request<AlertRule>('GET', rulePath(name), { signal });

export const listRuleVersions = (name: string, signal?: AbortSignal) =>
  request<{ items: AlertRule[] }>('GET', `${rulePath(name)}/versions`, { signal });

export const createRule = (body: AlertRuleRequest) => request<AlertRule>('POST', '/alert-rules', { body });

export const changeRule = (name: string, body: AlertRuleRequest) => request<AlertRule>('PUT', rulePath(name), { body });

export const deleteRule = (name: string) => request<void>('DELETE', rulePath(name));

export const switchRule = (name: string, on: boolean) =>
  request<AlertRule>('POST', `${rulePath(name)}/${on ? 'enable' : 'disable'}`);

/** Answers nothing when the rule could be kept; throws ApiError with a violation for each fault otherwise. */
export const checkRule = (body: AlertRuleRequest, signal?: AbortSignal) =>
  request<void>('POST', '/alert-rules/check', { body, signal });

export const backtestRule = (body: BacktestRequest, signal?: AbortSignal) =>
  request<BacktestAnswer>('POST', '/alert-rules/backtest', { body, signal });

export const listAlertWords = (signal?: AbortSignal) => request<{ items: AlertWord[] }>('GET', '/alert-rules/vocabulary', { signal });

const targetPath = (id: string) => `/notification-targets/${part(id)}`;

export const listTargets = (signal?: AbortSignal) =>
  request<{ items: NotificationTarget[] }>('GET', '/notification-targets', { signal });

export const createTarget = (body: NotificationTargetRequest) => request<NotificationTarget>('POST', '/notification-targets', { body });

export const changeTarget = (id: string, body: NotificationTargetPatch) =>
  request<NotificationTarget>('PATCH', targetPath(id), { body });

export const deleteTarget = (id: string) => request<void>('DELETE', targetPath(id));

/** Sends a sample; throws ApiError with what the other side said. */
export const testTarget = (id: string) => request<void>('POST', '/notification-targets/test', { body: { id } });

export const getRoutes = (signal?: AbortSignal) => request<NotificationRoutes>('GET', '/notification-routes', { signal });

export const setRoutes = (version: number, routes: NotificationRoute[]) =>
  request<NotificationRoutes>('PUT', '/notification-routes', { body: { version, routes } });

export const listDeliveries = (
  q: { target?: string | undefined; status?: DeliveryStatus | undefined; cursor?: string | undefined }, signal?: AbortSignal,
) => request<NotificationDeliveryList>('GET', `/notification-deliveries${query({ limit: 50, ...q })}`, { signal });

export const replayDelivery = (id: string) =>
  request<NotificationDelivery>('POST', `/notification-deliveries/${part(id)}/replay`);

export interface AvailabilityQuery {
  scope: 'kiosk' | 'site' | 'fleet';
  name?: string | undefined;
  from: string;
  period?: 'day' | 'week' | 'month' | undefined;
  tz: string;
}

export const availabilityPath = (q: AvailabilityQuery, format?: 'csv') => `/availability${query({ ...q, format })}`;

export const getAvailability = (q: AvailabilityQuery, signal?: AbortSignal) =>
  request<AvailabilityAnswer>('GET', availabilityPath(q), { signal });

export const listVisits = (within: string, signal?: AbortSignal) =>
  request<{ items: Visit[] }>('GET', `/visits${query({ within })}`, { signal });
