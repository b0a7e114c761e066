import type { Intake, IntakeConsumer } from '$lib/api/types';
import { formatAge } from '$lib/format/time';
import type { Messages } from '$lib/i18n/catalogue';

/** A consumer that is no further behind than this is up to date; the page polls about as often. */
const BEHIND_SECONDS = 10;
/** A problem that lasts no longer than this is one failed attempt, which nobody needs to see. */
const PROBLEM_SECONDS = 5;

/** Something about the intake that people should know, the worst first. */
export interface Trouble {
  /** The same trouble has the same key, however its numbers move. */
  key: string;
  tone: 'warn' | 'bad';
  text: string;
}

/** What is wrong with the intake, in words; nothing while all is well. now is the server's time. */
export function troubles(intake: Intake, now: number, t: Messages): Trouble[] {
  const found: Trouble[] = [];
  if (!intake.accepting) {
    const why = intake.refusal ? (t.intake.refusals[intake.refusal] ?? intake.refusal) : '';
    found.push({ key: 'refusing', tone: 'bad', text: t.intake.refusing(why) });
  }
  for (const consumer of intake.consumers) {
    const behind = consumer.lag_seconds > BEHIND_SECONDS;
    const stuck = isStuck(consumer, now);
    if (!behind && !stuck) continue;
    const name = consumerName(consumer, t);
    const lag = formatAge(consumer.lag_seconds * 1_000);
    const problem = consumer.problem ?? '';
    const after = consumer.name === 'live' ? t.intake.liveAfter : t.intake.after;
    const text = problem
      ? behind ? t.intake.behindWhy(name, lag, problem, after) : t.intake.stuck(name, problem, after)
      : t.intake.behind(name, lag, after);
    found.push({ key: `${consumer.name} ${problem ? 'stuck' : 'behind'}`, tone: 'warn', text });
  }
  return found;
}

function isStuck(consumer: IntakeConsumer, now: number): boolean {
  if (!consumer.problem) return false;
  return !consumer.since || now - Date.parse(consumer.since) > PROBLEM_SECONDS * 1_000;
}

export const consumerName = (consumer: Pick<IntakeConsumer, 'name'>, t: Messages) => t.intake.consumers[consumer.name] ?? consumer.name;

/** How far a consumer is, in a few words for the calm line. */
export function standing(consumer: IntakeConsumer, t: Messages): string {
  return consumer.lag_seconds > BEHIND_SECONDS ? t.intake.lag(formatAge(consumer.lag_seconds * 1_000)) : t.intake.upToDate;
}
