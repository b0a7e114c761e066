// The texts of the pages about anomalies and models, in English.

export const anomalyTexts = {
  anomalies: {
    title: 'Anomalies', intro: 'What is unusual although no threshold was set for it: those that go on first, then the newest.', pages: 'Pages about anomalies', list: 'Anomalies',
    state: 'Which', all: 'All', open: 'Going on', closed: 'Over', goingOn: (n: string) => `Going on now (${n})`, earlier: 'Earlier', more: 'Show older',
    kind: 'Kind', allKinds: 'All kinds', metric: 'Sensor', allMetrics: 'All sensors', within: 'Within', ever: 'Any time', clear: 'Clear filters',
    kioskOnly: (serial: string) => `Kiosk ${serial}`, anyKiosk: (serial: string) => `Kiosk ${serial}: show all kiosks`,
    within24h: '24 h', within7d: '7 days', within30d: '30 days',
    none: 'Nothing unusual', noneHint: 'Every kiosk behaves as it usually does. Kiosks are learnt from their first reading; what stands out is listed here and explained.',
    noneOpen: 'Nothing unusual goes on', noneOpenHint: 'Every kiosk behaves as it usually does now. What was unusual before is listed under Over.', noMatch: 'None with these filters. Change or clear them to see others.', loadFailed: 'The anomalies could not be loaded.', since: (d: string) => `for ${d}`, lasted: (d: string) => `lasted ${d}`,
  },
  anomaly: {
    open: 'Unusual', closed: 'Over', toList: 'To the anomalies', missing: 'There is no such anomaly', missingHint: 'Old ones are removed after a while, or the address has a typing error.', loadFailed: 'The anomaly could not be loaded.',
    kiosk: 'Kiosk', site: 'Site', model: 'Model', opened: 'Began', peak: 'Strongest', ended: 'Ended', lasted: 'Lasted', score: 'Score', detector: 'Found by', builtIn: 'the built-in model',
    alert: 'Alert', noAlert: 'none', incident: 'Incident', partOf: 'Part of an incident', sensors: 'What stands out', charts: 'The day before, and since',
    share: (percent: string) => `${percent} of the evidence`, scoreTitle: 'Score over time', scoreHelp: 'From 0, nothing unusual, to 1. Alerts begin at 0.99: as rarely as the budget of false alarms allows.', scorePeaks: 'The line shows its peaks.',
    expected: (low: string, high: string) => `expected ${low} to ${high}`, legendExpected: 'expected at this hour', legendValue: 'measured', legendPeriod: 'while it was unusual', noBand: 'Too little is known to say what is expected.',
    kinds: {
      level: 'unusual for this hour', range: 'never seen before', change: 'another course', stuck: 'stuck', dropout: 'fell to nothing', relation: 'no longer goes along', peers: 'unlike its siblings',
    } as Record<string, string>,
    kindHelp: {
      level: 'Far from what is usual at this hour of the day.', range: 'Beyond everything that this kiosk has shown before.', change: 'It takes another course than expected: a jump, a trend, or noise.',
      stuck: 'It does not move any more, for much longer than it ever stood still.', dropout: 'It fell to nothing.', relation: 'It no longer goes with the sensors that it always went with.',
      peers: 'Unlike its siblings of the same model and site in the same hour.',
    } as Record<string, string>,
    says: {
      level: (metric: string, value: string, _with: string) => `${metric} is ${value}`, range: (metric: string, value: string, _with: string) => `${metric} is ${value}, beyond everything seen before`,
      change: (metric: string, value: string, _with: string) => `${metric} takes another course than expected: ${value}`, stuck: (metric: string, value: string, _with: string) => `${metric} does not move any more: ${value}`,
      dropout: (metric: string, value: string, _with: string) => `${metric} fell to ${value}`, relation: (metric: string, value: string, others: string) => `${metric} is ${value} and does not go with ${others}`,
      peers: (metric: string, value: string, _with: string) => `${metric} is ${value}, unlike its siblings`,
    } as Record<string, (metric: string, value: string, others: string) => string>,
    usual: (low: string, high: string) => `${low} to ${high} is usual`,
    feedback: 'Was it worth knowing?', feedbackHelp: 'It tunes how readily these sensors are reported: noise makes them quieter, useful makes them readier. It can be changed.',
    useful: 'Useful', noise: 'Noise', comment: 'Comment (may be empty)', saidBy: (who: string) => `said by ${who}`, send: 'Keep comment', failed: 'What you said was not kept.',
    verdictAloud: (verdict: string) => `Kept: ${verdict}.`, nobody: 'Nobody has said anything about it.',
  },
  unusual: {
    title: 'Anomalies', usual: 'Nothing unusual', learning: 'Still learning what is usual', unknown: 'Not scored yet', unusual: 'Unusual',
    usualHint: (n: string) => `${n} sensors are as expected.`, learningHint: 'A few days are needed; until then only what is plain is reported.', learningSince: (d: string) => `It has been watched for ${d}.`,
    unknownHint: 'No reading was scored: none has come, or the detectors are switched off.', score: 'Score now', scoreBefore: (d: string) => `Score ${d} ago`, overTime: 'Score over time', past: 'Anomalies of this kiosk',
  },
  models: {
    title: 'Models', intro: 'What is usual in the fleet, learnt from its own readings. A model guards new kiosks from their first hour.', all: 'All models', tuning: 'What feedback has made of it',
    loadFailed: 'The models could not be loaded.', none: 'No model yet', noneHint: 'The detectors learn each kiosk by itself. Train a model when the fleet has reported for a few days.',
    states: { candidate: 'not judged yet', current: 'at work', retired: 'retired', refused: 'refused', rolled_back: 'rolled back' } as Record<string, string>,
    origins: { built_in: 'built in', manual: 'trained by hand', scheduled: 'trained by the schedule', imported: 'imported' } as Record<string, string>,
    trainedOn: (kiosks: string, readings: string) => `${kiosks} kiosks, ${readings} readings`, trainedFrom: 'Readings', size: 'Size', checksum: 'Checksum', since: 'Since', by: (who: string) => `by ${who}`,
    figure: {
      recall: 'Faults found', precision: 'Alarms that were faults', false_per_day: 'False alarms per kiosk and day', delay_points: 'Readings until found',
    } as Record<string, string>,
    figures: 'Figures', measured: 'This model', before: 'The one before', measuredOn: (faults: string, series: string, days: string) => `${faults} faults put into ${series} kiosks' own readings, ${days} kiosk days`, noFigures: 'It was not measured.',
    better: 'better', worse: 'worse', byKind: 'Found by kind of fault',
    faultKind: {
      spike: 'spike', level_shift: 'level shift', drift: 'drift', stuck: 'stuck', dropout: 'dropout', noise_burst: 'noise burst', correlation_break: 'correlation break', oscillation: 'oscillation',
    } as Record<string, string>,
    checks: 'Checks', noChecks: 'Nothing was checked.', passed: 'passed', notPassed: 'not passed',
    train: 'Train now', training: 'Training', trainHint: 'It goes on in the background and is put to work only if it does no worse than the one at work.', trainFailed: 'The training was not started.', trainingUnknown: 'How the training stands could not be loaded.',
    runs: (stage: string, percent: string) => `${stage} · ${percent}`, startedBy: (who: string) => `started by ${who}`, schedule: 'the schedule', made: 'The last training made', madeNone: 'The last training made no model', finished: (d: string) => `${d} ago`,
    promote: 'Put to work…', promoteTitle: (version: string) => `Put ${version} to work?`, promoteDo: 'Put to work', promoteText: 'It replaces the model at work within seconds. What kiosks have learnt by themselves stays.',
    promoteFailed: 'The model was not put to work.',
    rollback: 'Roll back…', rollbackTitle: 'Go back to the model before?', rollbackDo: 'Roll back', rollbackText: 'The model that was at work before this one goes back to work within seconds.', rollbackFailed: 'Not rolled back.',
    doneAloud: (version: string) => `${version} is at work.`,
    factor: 'Budget', usefulCount: 'Useful', noiseCount: 'Noise', changed: 'Changed', quieter: 'quieter', readier: 'readier', asUsual: 'as usual', reset: 'Reset', resetLabel: (metric: string) => `Reset ${metric}`, resetFailed: 'Not reset.',
    resetAloud: (metric: string) => `${metric} begins anew.`, noTuning: 'Nobody has called an anomaly useful or noise yet. What people say there makes its sensors readier or quieter.',
    tuningHelp: 'Noise halves the budget of a sensor, useful adds a quarter; from 1/16 to 4.', tuningFailed: 'The tuning could not be loaded.',
  },
};
