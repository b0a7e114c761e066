// Runs before the first paint so that the chosen theme does not flash; the page's own script comes later.
{
  let theme = null;
  try {
    theme = localStorage.getItem('kioskfleet.theme');
  } catch {
    // A browser that keeps nothing follows the system.
  }
  if (theme !== 'dark' && theme !== 'light') {
    theme = matchMedia('(prefers-color-scheme: light)').matches ? 'light' : 'dark';
  }
  document.documentElement.dataset.theme = theme;
}
