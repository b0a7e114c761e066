import type { ApiError } from '$lib/api/client';

interface Failure {
  id: number;
  title: string;
  error: ApiError;
}

/** What is said aloud to screen readers, and failures that have no place of their own on the page. */
class Announcer {
  said = $state('');
  failures = $state.raw<Failure[]>([]);
  #next = 0;

  say(text: string): void {
    this.said = text;
  }

  fail(title: string, error: ApiError): void {
    this.failures = [...this.failures, { id: this.#next++, title, error }];
  }

  dismiss(id: number): void {
    this.failures = this.failures.filter((failure) => failure.id !== id);
  }
}

export const announcer = new Announcer();
