/**
 * Calls f now and again and again, each time a while after it has finished: less often while the page is
 * hidden, and at once when it is shown again. Returns what ends it.
 */
export function poll(f: () => Promise<void>, visibleMs: number, hiddenMs: number): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let running = false;
  let ended = false;

  async function run() {
    if (running) return;
    running = true;
    clearTimeout(timer);
    try {
      await f();
    } finally {
      running = false;
      if (!ended) timer = setTimeout(() => void run(), document.hidden ? hiddenMs : visibleMs);
    }
  }

  const shown = () => {
    if (!document.hidden) void run();
  };
  document.addEventListener('visibilitychange', shown);
  void run();
  return () => {
    ended = true;
    clearTimeout(timer);
    document.removeEventListener('visibilitychange', shown);
  };
}
