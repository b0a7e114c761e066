import { checkRule } from '$lib/api/alerts';
import { ApiError } from '$lib/api/client';
import type { AlertRuleRequest } from '$lib/api/types';

/** Somebody is still typing. */
const PAUSE_MS = 400;

/** What the server says of a rule while it is written. */
export class RuleCheck {
  state = $state<'idle' | 'checking' | 'fine' | 'faults' | 'failed'>('idle');
  violations = $state.raw<ApiError['violations']>([]);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #abort: AbortController | undefined;

  /** Asks about this one as soon as it stands for a moment. Faults stay until the answer is here. */
  follow(request: AlertRuleRequest): void {
    this.stop();
    if (this.#abort === undefined && request.condition === '') return;
    this.state = this.state === 'faults' ? 'faults' : 'checking';
    const { signal } = (this.#abort = new AbortController());
    this.#timer = setTimeout(() => {
      checkRule(request, signal).then(
        () => {
          this.violations = [];
          this.state = 'fine';
        },
        (error: unknown) => {
          if (signal.aborted) return;
          if (!(error instanceof ApiError)) throw error;
          this.take(error);
        },
      );
    }, PAUSE_MS);
  }

  /** Takes a refusal; one without violations says nothing about the rule. */
  take(error: ApiError): void {
    this.violations = error.violations;
    this.state = error.violations.length > 0 ? 'faults' : 'failed';
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#abort?.abort();
  }
}
