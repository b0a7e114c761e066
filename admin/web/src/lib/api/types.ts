import type { components } from './schema';

type Schemas = components['schemas'];

export type Kiosk = Schemas['Kiosk'];
export type KioskList = Schemas['KioskList'];
export type Reading = Schemas['Reading'];
export type LiveReading = Schemas['LiveReading'];
export type Reason = Schemas['Reason'];
export type Verdict = Schemas['Verdict'];
export type Presence = Schemas['Presence'];
export type PresenceReason = Schemas['PresenceReason'];
export type Location = Schemas['Location'];
export type Metric = Schemas['MetricList']['items'][number];
export type TelemetrySeries = Schemas['TelemetrySeries'];
export type Aggregate = Schemas['Aggregate'];
export type Command = Schemas['Command'];
export type CommandList = Schemas['CommandList'];
export type CommandRequest = Schemas['CommandRequest'];
export type CommandStatus = Schemas['CommandStatus'];
export type KioskEvent = Schemas['Event'];
export type EventList = Schemas['EventList'];
export type Me = Schemas['Me'];
export type Role = Schemas['Role'];
export type Problem = Schemas['Problem'];
