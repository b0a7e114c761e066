/** The value of a design token, for canvases, which know no CSS variables. */
export function cssColour(token: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(token).trim();
}
