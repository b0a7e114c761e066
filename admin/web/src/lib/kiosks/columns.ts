/** One column of the fleet's list. A column whose id holds a dot is the metric of that name. */
export interface Column {
  id: string;
  /** Width as CSS; the one flexible column takes the rest. */
  width: string;
  /** What its head sorts by; without it the column does not sort. */
  sort?: string;
  numeric?: boolean;
  /** Always shown: without it a row says nothing. */
  fixed?: boolean;
}

export const COLUMNS: Column[] = [
  { id: 'verdict', width: '132px', sort: 'severity', fixed: true },
  { id: 'serial', width: '128px', sort: 'serial', fixed: true },
  { id: 'site', width: '138px', sort: 'site' },
  { id: 'reason', width: 'auto', fixed: true },
  { id: 'since', width: '84px', numeric: true },
  { id: 'presence', width: '96px', sort: 'presence' },
  { id: 'reading', width: '66px', sort: 'reading', numeric: true },
  { id: 'hardware.cpu_temp', width: '64px', sort: 'hardware.cpu_temp', numeric: true },
  { id: 'environmental.temperature', width: '68px', sort: 'environmental.temperature', numeric: true },
  { id: 'network.latency', width: '82px', sort: 'network.latency', numeric: true },
  { id: 'network.signal_strength', width: '88px', sort: 'network.signal_strength', numeric: true },
  { id: 'hardware.disk_usage', width: '72px', sort: 'hardware.disk_usage', numeric: true },
  { id: 'custom.paper_level', width: '72px', sort: 'custom.paper_level', numeric: true },
  { id: 'model', width: '110px', sort: 'model' },
  { id: 'version', width: '80px', sort: 'version' },
  { id: 'tags', width: '120px' },
];

const DEFAULT_IDS = [
  'verdict', 'serial', 'site', 'reason', 'since', 'presence', 'reading',
  'hardware.cpu_temp', 'environmental.temperature', 'network.latency',
];

/** The columns that a list of ids names, in the usual order; none or nonsense gives the usual ones. */
export function parseColumns(text: string | null): Column[] {
  const ids = text?.split(',').filter((id) => COLUMNS.some((column) => column.id === id)) ?? [];
  const wanted = ids.length > 0 ? ids : DEFAULT_IDS;
  return COLUMNS.filter((column) => column.fixed || wanted.includes(column.id));
}

/** The inverse of parseColumns; undefined for the usual columns. */
export function formatColumns(columns: Column[]): string | undefined {
  const ids = columns.map((column) => column.id);
  const usual = ids.length === DEFAULT_IDS.length && ids.every((id) => DEFAULT_IDS.includes(id));
  return usual ? undefined : ids.join(',');
}
