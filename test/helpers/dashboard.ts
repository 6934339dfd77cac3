import { readFileSync } from 'node:fs';

/** What the tests read of a Grafana dashboard. */
export interface Dashboard {
  uid: string;
  schemaVersion: number;
  panels: Panel[];
  templating: { list: { name: string; type: string; query: unknown; datasource?: Source }[] };
  annotations: { list: { datasource: Source; expr: string }[] };
}

export interface Panel {
  id: number;
  title: string;
  datasource: Source;
  gridPos: { x: number; y: number; w: number; h: number };
  targets: { refId: string; datasource: Source; expr: string; legendFormat: string }[];
}

export interface Source {
  type: string;
  uid: string;
}

/** A metric as an expression selects it, and every label that the expression expects of it. */
export interface Selection {
  metric: string;
  labels: string[];
  /** Those that must have one value. */
  equal: Record<string, string>;
}

/** The dashboard as it is shipped. */
export function readDashboard(): Dashboard {
  const path = new URL('../../quadlets/grafana-dashboard.json', import.meta.url);
  return JSON.parse(readFileSync(path, 'utf8')) as Dashboard;
}

/** Every expression of a dashboard, with the legend that is made from its labels. */
export function expressions(dashboard: Dashboard): { expr: string; legend: string }[] {
  const targets = dashboard.panels.flatMap((panel) => panel.targets);
  return [
    ...targets.map(({ expr, legendFormat }) => ({ expr, legend: legendFormat })),
    ...dashboard.annotations.list.map(({ expr }) => ({ expr, legend: '' })),
  ];
}

/** The expression as Prometheus gets it, with Grafana's own variables filled in. */
export function filledIn(expr: string): string {
  return expr.replaceAll('$__rate_interval', '1m').replaceAll('$instance', '.*');
}

/** A name, and the bracket of a call or the matchers behind it. */
const NAME = /([a-z_]\w*)\s*(?:(\()|\{([^}]*)\})?/gi;
const KEYWORDS = new Set(['by', 'or', 'and', 'unless', 'without']);

/** The metrics that an expression selects. */
export function selections(expr: string, legend: string): Selection[] {
  const ofAll = [
    ...[...expr.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, names = '']) => names.split(/, ?/)),
    ...[...legend.matchAll(/\{\{(\w+)\}\}/g)].map(([, name = '']) => name),
  ];
  const bare = expr.replace(/\bby \([^)]*\)/g, '').replace(/\[[^\]]*\]/g, '');
  return [...bare.matchAll(NAME)].flatMap(([, name = '', call, matchers = '']) => {
    if (call || KEYWORDS.has(name)) return [];
    const pairs = [...matchers.matchAll(/(\w+)(=~|!=|!~|=)"([^"]*)"/g)];
    return {
      metric: name,
      labels: [...pairs.map(([, label = '']) => label), ...ofAll],
      equal: Object.fromEntries(
        pairs.flatMap(([, label, operator, value]) => (operator === '=' ? [[label, value]] : [])),
      ),
    };
  });
}
