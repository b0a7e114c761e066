import type { anomalyTexts as english } from './en.anomaly';
import type { Widen } from './catalogue';

// The texts of en.anomaly.ts in Spanish, in the manner of es.ts.

export const anomalyTexts: Widen<typeof english> = {
  anomalies: {
    title: 'Anomalías', intro: 'Lo que es inusual aunque nadie fijó un umbral: primero lo que sigue, después lo más nuevo.', pages: 'Páginas sobre anomalías', list: 'Anomalías',
    state: 'Cuáles', all: 'Todas', open: 'En curso', closed: 'Terminadas', goingOn: (n) => `En curso ahora (${n})`, earlier: 'Antes', more: 'Mostrar anteriores',
    kind: 'Tipo', allKinds: 'Todos los tipos', metric: 'Sensor', allMetrics: 'Todos los sensores', within: 'Desde hace', ever: 'Siempre', clear: 'Quitar filtros',
    kioskOnly: (serial) => `Quiosco ${serial}`, anyKiosk: (serial) => `Quiosco ${serial}: mostrar todos los quioscos`,
    within24h: '24 h', within7d: '7 días', within30d: '30 días',
    none: 'Nada inusual', noneHint: 'Todos los quioscos se comportan como siempre. Se aprende cada quiosco desde su primera lectura; lo que llama la atención aparece aquí, explicado.',
    noneOpen: 'No hay nada inusual ahora', noneOpenHint: 'Todos los quioscos se comportan como siempre. Lo que fue inusual antes está en Terminadas.', noMatch: 'Ninguna con estos filtros. Cámbialos o quítalos para ver otras.', loadFailed: 'No se pudieron cargar las anomalías.', since: (d) => `desde hace ${d}`, lasted: (d) => `duró ${d}`,
  },
  anomaly: {
    open: 'Inusual', closed: 'Terminada', toList: 'A las anomalías', missing: 'No existe esa anomalía', missingHint: 'Las viejas se quitan después de un tiempo, o la dirección tiene un error.', loadFailed: 'No se pudo cargar la anomalía.',
    kiosk: 'Quiosco', site: 'Sitio', model: 'Modelo', opened: 'Comienzo', peak: 'Máximo', ended: 'Fin', lasted: 'Duración', score: 'Puntaje', detector: 'La encontró', builtIn: 'el modelo incluido',
    alert: 'Alerta', noAlert: 'ninguna', incident: 'Incidente', partOf: 'Parte de un incidente', sensors: 'Qué llama la atención', charts: 'El día anterior, y desde entonces',
    share: (percent) => `${percent} de la evidencia`, scoreTitle: 'Puntaje en el tiempo', scoreHelp: 'De 0, nada inusual, a 1. Las alertas empiezan en 0,99: tan raras como permite el presupuesto de falsas alarmas.', scorePeaks: 'La línea muestra sus picos.',
    expected: (low, high) => `esperado: ${low} a ${high}`, legendExpected: 'esperado a esta hora', legendValue: 'medido', legendPeriod: 'mientras fue inusual', noBand: 'Se sabe muy poco para decir qué se espera.',
    kinds: {
      level: 'inusual a esta hora', range: 'nunca visto', change: 'otro curso', stuck: 'inmóvil', dropout: 'cayó a nada', relation: 'ya no acompaña', peers: 'distinto de sus pares',
    },
    kindHelp: {
      level: 'Lejos de lo habitual a esta hora del día.', range: 'Más allá de todo lo que este quiosco mostró antes.', change: 'Toma otro curso que el esperado: un salto, una tendencia o ruido.',
      stuck: 'Ya no se mueve, mucho más tiempo que nunca.', dropout: 'Cayó a nada.', relation: 'Ya no acompaña a los sensores que siempre acompañó.',
      peers: 'Distinto de sus pares del mismo modelo y sitio a la misma hora.',
    },
    says: {
      level: (metric, value, _with) => `${metric}: ${value}`, range: (metric, value, _with) => `${metric}: ${value}, más allá de todo lo visto`,
      change: (metric, value, _with) => `${metric} toma otro curso que el esperado: ${value}`, stuck: (metric, value, _with) => `${metric} ya no se mueve: ${value}`,
      dropout: (metric, value, _with) => `${metric} cayó a ${value}`, relation: (metric, value, others) => `${metric}: ${value}, y no acompaña a ${others}`,
      peers: (metric, value, _with) => `${metric}: ${value}, distinto de sus pares`,
    },
    usual: (low, high) => `lo habitual es de ${low} a ${high}`,
    feedback: '¿Valió la pena saberlo?', feedbackHelp: 'Ajusta con qué facilidad se informa de estos sensores: ruido los calla, útil los anima. Se puede cambiar.',
    useful: 'Útil', noise: 'Ruido', comment: 'Comentario (puede quedar vacío)', saidBy: (who) => `dicho por ${who}`, send: 'Guardar comentario', failed: 'No se guardó lo dicho.',
    verdictAloud: (verdict) => `Guardado: ${verdict}.`, nobody: 'Nadie dijo nada todavía.',
  },
  unusual: {
    title: 'Anomalías', usual: 'Nada inusual', learning: 'Aprendiendo qué es habitual', unknown: 'Todavía sin puntaje', unusual: 'Inusual',
    usualHint: (n) => `${n} sensores están como se espera.`, learningHint: 'Hacen falta unos días; hasta entonces solo se informa de lo evidente.', learningSince: (d) => `Se observa desde hace ${d}.`,
    unknownHint: 'Ninguna lectura tuvo puntaje: no llegó ninguna, o los detectores están apagados.', score: 'Puntaje ahora', scoreBefore: (d) => `Puntaje hace ${d}`, overTime: 'Puntaje en el tiempo', past: 'Anomalías de este quiosco',
  },
  models: {
    title: 'Modelos', intro: 'Lo habitual en la flota, aprendido de sus propias lecturas. Un modelo cuida a los quioscos nuevos desde la primera hora.', all: 'Todos los modelos', tuning: 'Qué hicieron las opiniones',
    loadFailed: 'No se pudieron cargar los modelos.', none: 'Todavía sin modelo', noneHint: 'Los detectores aprenden cada quiosco por separado. Conviene entrenar un modelo cuando la flota haya informado unos días.',
    states: { candidate: 'sin juzgar', current: 'en uso', retired: 'retirado', refused: 'rechazado', rolled_back: 'revertido' },
    origins: { built_in: 'incluido', manual: 'entrenado a pedido', scheduled: 'entrenado por el calendario', imported: 'importado' },
    trainedOn: (kiosks, readings) => `${kiosks} quioscos, ${readings} lecturas`, trainedFrom: 'Lecturas', size: 'Tamaño', checksum: 'Suma de control', since: 'Desde', by: (who) => `por ${who}`,
    figure: {
      recall: 'Fallas encontradas', precision: 'Alarmas que eran fallas', false_per_day: 'Falsas alarmas por quiosco y día', delay_points: 'Lecturas hasta encontrarla',
    },
    figures: 'Cifras', measured: 'Este modelo', before: 'El anterior', measuredOn: (faults, series, days) => `${faults} fallas puestas en lecturas propias de ${series} quioscos, ${days} días de quiosco`, noFigures: 'No se midió.',
    better: 'mejor', worse: 'peor', byKind: 'Encontradas por tipo de falla',
    faultKind: {
      spike: 'pico', level_shift: 'cambio de nivel', drift: 'deriva', stuck: 'inmóvil', dropout: 'caída', noise_burst: 'ráfaga de ruido', correlation_break: 'correlación rota', oscillation: 'oscilación',
    },
    checks: 'Controles', noChecks: 'No se controló nada.', passed: 'pasó', notPassed: 'no pasó',
    train: 'Entrenar ahora', training: 'Entrenamiento', trainHint: 'Sigue en segundo plano y entra en uso solo si no es peor que el que está en uso.', trainFailed: 'No comenzó el entrenamiento.', trainingUnknown: 'No se pudo cargar el estado del entrenamiento.',
    runs: (stage, percent) => `${stage} · ${percent}`, startedBy: (who) => `iniciado por ${who}`, schedule: 'el calendario', made: 'El último entrenamiento hizo', madeNone: 'El último entrenamiento no hizo ningún modelo', finished: (d) => `hace ${d}`,
    promote: 'Poner en uso…', promoteTitle: (version) => `¿Poner en uso ${version}?`, promoteDo: 'Poner en uso', promoteText: 'Reemplaza en segundos al modelo en uso. Lo que los quioscos aprendieron por sí mismos queda.',
    promoteFailed: 'El modelo no entró en uso.',
    rollback: 'Revertir…', rollbackTitle: '¿Volver al modelo anterior?', rollbackDo: 'Revertir', rollbackText: 'El modelo que estaba en uso antes vuelve en segundos.', rollbackFailed: 'No se revirtió.',
    doneAloud: (version) => `${version} está en uso.`,
    factor: 'Presupuesto', usefulCount: 'Útil', noiseCount: 'Ruido', changed: 'Cambio', quieter: 'más callado', readier: 'más dispuesto', asUsual: 'como siempre', reset: 'Reiniciar', resetLabel: (metric) => `Reiniciar ${metric}`, resetFailed: 'No se reinició.',
    resetAloud: (metric) => `${metric} empieza de nuevo.`, noTuning: 'Nadie calificó todavía una anomalía de útil o ruido. Lo que se diga allí anima o calla a sus sensores.',
    tuningHelp: 'Ruido divide por dos el presupuesto de un sensor, útil le suma un cuarto; de 1/16 a 4.', tuningFailed: 'No se pudo cargar el ajuste.',
  },
};
