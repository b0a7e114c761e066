import { query, request } from './client';
import type { Anomaly, AnomalyKind, AnomalyList, AnomalyTuning, AnomalyVerdict, KioskAnomaly, Model, Training } from './types';

// The calls about anomalies and the models that find them.

const part = encodeURIComponent;

/** Picks anomalies; absent parts pick all. */
export interface AnomalyQuery {
  serial?: string | undefined;
  site?: string | undefined;
  metric?: string | undefined;
  kind?: AnomalyKind | undefined;
  open?: boolean | undefined;
  /** Opened since then: RFC 3339, or such as -7d. */
  from?: string | undefined;
  limit?: number | undefined;
  cursor?: string | undefined;
}

export const listAnomalies = (q: AnomalyQuery, signal?: AbortSignal) =>
  request<AnomalyList>('GET', `/anomalies${query({ ...q })}`, { signal });

export const getAnomaly = (id: string, signal?: AbortSignal) => request<Anomaly>('GET', `/anomalies/${part(id)}`, { signal });

export const judgeAnomaly = (id: string, verdict: AnomalyVerdict, comment: string) =>
  request<Anomaly>('POST', `/anomalies/${part(id)}/feedback`, { body: { verdict, comment } });

export const getKioskAnomaly = (serial: string, signal?: AbortSignal) =>
  request<KioskAnomaly>('GET', `/kiosks/${part(serial)}/anomaly`, { signal });

export const listTunings = (signal?: AbortSignal) => request<{ items: AnomalyTuning[] }>('GET', '/anomalies/tuning', { signal });

export const resetTuning = (metric: string) => request<void>('DELETE', `/anomalies/tuning/${part(metric)}`);

export const listModels = (signal?: AbortSignal) => request<{ items: Model[] }>('GET', '/models', { signal });

export const promoteModel = (version: string) => request<Model>('POST', `/models/${part(version)}/promote`);

export const rollBackModel = () => request<Model>('POST', '/models/rollback');

export const trainModel = () => request<Training>('POST', '/models/train');

export const getTraining = (signal?: AbortSignal) => request<Training>('GET', '/models/training', { signal });
