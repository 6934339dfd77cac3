import { Gauge, type Registry } from 'prom-client';
import type { RulesInForce } from '../live/rules-in-force.ts';

/** Which configuration is in force, since when, and what is allowed beside it for a time. */
export class ConfigurationMetrics {
  readonly #successful: Gauge;
  readonly #loaded: Gauge;

  constructor(registry: Registry, rules: RulesInForce) {
    const registers = [registry];
    const info = new Gauge({
      name: 'whisper_proxy_config_info',
      help: 'The configuration in force: the hash that decisions have in the log, and the mode (enforce or report).',
      labelNames: ['hash', 'mode'],
      registers,
      collect: () => {
        info.reset();
        info.set({ hash: rules.hash, mode: rules.policy.mode }, 1);
      },
    });
    this.#successful = new Gauge({
      name: 'whisper_proxy_config_last_reload_successful',
      help: 'Whether the configuration was valid when it was read last (1); if not (0), the previous one stays in force.',
      registers,
    });
    this.#loaded = new Gauge({
      name: 'whisper_proxy_config_last_reload_success_timestamp_seconds',
      help: 'When the configuration in force was read, in seconds since 1970.',
      registers,
    });
    const deniesAll: Gauge = new Gauge({
      name: 'whisper_proxy_config_denies_all',
      help: 'Whether egress denies everything since the configuration was invalid at the start (1).',
      registers,
      collect: () => deniesAll.set(rules.policy.invalid ? 1 : 0),
    });
    const timed: Gauge = new Gauge({
      name: 'whisper_proxy_timed_allows',
      help: 'Rules that are allowed for a time.',
      registers,
      collect: () => timed.set(rules.timed.length),
    });
    this.reloaded(true);
  }

  /** Notes that the configuration was read. @param successful whether it is in force now. */
  reloaded(successful: boolean): void {
    this.#successful.set(successful ? 1 : 0);
    if (successful) this.#loaded.setToCurrentTime();
  }
}
