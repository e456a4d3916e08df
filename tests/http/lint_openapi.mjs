// Lints an OpenAPI document by Redocly's recommended rules: lint_openapi.mjs PACKAGES DOCUMENT
//
// A line for each finding; the exit status tells whether there was any.
import { createRequire } from 'node:module';
import path from 'node:path';

const [packages, document] = process.argv.slice(2);
const { createConfig, lint } = createRequire(path.resolve(packages, 'lint.js'))('@redocly/openapi-core');
// Some tools end their base URL in a slash.
const rules = { 'info-license': 'off', 'no-path-trailing-slash': 'off' };
const config = await createConfig({ extends: ['recommended'], rules });
const findings = await lint({ ref: document, config });
for (const finding of findings)
    console.log(`${finding.severity} ${finding.ruleId} ${finding.location[0]?.pointer}: ${finding.message}`);
process.exitCode = findings.length === 0 ? 0 : 1;
