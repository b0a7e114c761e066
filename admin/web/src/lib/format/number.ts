const formatters = new Map<string, Intl.NumberFormat>();

/** Making a formatter takes longer than using it a hundred times, and lists use a few very often. */
function formatter(locale: string, minimumFractionDigits: number, maximumFractionDigits: number): Intl.NumberFormat {
  const key = `${locale} ${minimumFractionDigits} ${maximumFractionDigits}`;
  let made = formatters.get(key);
  if (!made) formatters.set(key, (made = new Intl.NumberFormat(locale, { minimumFractionDigits, maximumFractionDigits })));
  return made;
}

/**
 * A measured value with as many digits as are worth reading: 51.2, 0.85, 120. Only its size decides,
 * so that a value that passes through a whole number does not change its width.
 */
export function formatValue(value: number, locale: string): string {
  const size = Math.abs(value);
  const digits = size >= 100 ? 0 : size >= 1 || value === 0 ? 1 : 2;
  return formatter(locale, digits, digits).format(value);
}

/** A share of a whole as whole percent; never 0 % or 100 % when that is not exact. */
export function formatShare(part: number, whole: number): string {
  if (whole === 0) return '–';
  const percent = (part / whole) * 100;
  if (percent > 0 && percent < 1) return '<1 %';
  if (percent < 100 && percent > 99) return '>99 %';
  return `${Math.round(percent)} %`;
}

/** A distance: 8 m, 420 m, 3.4 km, 1,250 km. */
export function formatDistance(metres: number, locale: string): string {
  if (metres < 1_000) return `${Math.round(metres)} m`;
  const km = metres / 1_000;
  return `${formatter(locale, 0, km < 10 ? 1 : 0).format(km)} km`;
}

export const formatCount = (n: number, locale: string) => formatter(locale, 0, 0).format(n);

/** A limit or an axis mark: as it is written, without added digits. */
export const formatLimit = (value: number, locale: string) => formatter(locale, 0, 4).format(value);
