// Plays a recording with the core of asciinema-player, which needs no browser, and prints what it would draw.
// Usage: node play.mjs PLAYER_FOLDER RECORDING
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder, recording] = process.argv.slice(2);
const dist = join(folder, 'dist');
// The file's name carries a digest of the release.
const name = readdirSync(dist).find((name) => /^core-.*\.js$/.test(name));
if (name === undefined) throw new Error(`no core in ${dist}`);
const { C: Core } = await import(pathToFileURL(join(dist, name)).href);

const logger = { log() {}, debug() {}, info() {}, warn() {}, error: console.error };
const core = new Core({ data: readFileSync(recording, 'utf8') }, { logger, speed: 1e9 });
const seen = { output: '', input: '', resizes: [], markers: [], metadata: null };
const ended = new Promise((resolve, reject) => {
  // Events that fall together come as an array.
  core.addEventListener('output', (text) => { seen.output += [text].flat().join(''); });
  core.addEventListener('input', ({ data }) => { seen.input += data; });
  core.addEventListener('resize', ({ cols, rows }) => { seen.resizes.push(`${cols}x${rows}`); });
  core.addEventListener('marker', ({ label }) => { seen.markers.push(label); });
  core.addEventListener('metadata', (metadata) => { seen.metadata = metadata; });
  core.addEventListener('ended', resolve);
  core.addEventListener('error', reject);
});
core.terminalReady();
await core.init();
await core.play();
await ended;
process.stdout.write(JSON.stringify(seen));
