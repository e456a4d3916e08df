// Runs the two graphs with ONNX Runtime: runtime.mjs PACKAGES ENCODER DECODER DIRECTORY
//
// A line of JSON on standard input is a run:
//   {"graph": "encoder" | "decoder", "inputs": {NAME: SHAPE}, "outputs": [NAME ...]}
// The inputs are in DIRECTORY/NAME.f32. The outputs go to files of the same kind, and the answer is a line with their
// shapes: {NAME: SHAPE}. Slashes in names become underscores in the files'.
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import readline from 'node:readline';

const [packages, encoder, decoder, directory] = process.argv.slice(2);
const ort = createRequire(path.resolve(packages, 'runtime.js'))('onnxruntime-node');
const options = { intraOpNumThreads: 1, executionProviders: ['cpu'] }; // the caller has use for the other cores
const graphs = {
    encoder: await ort.InferenceSession.create(encoder, options),
    decoder: await ort.InferenceSession.create(decoder, options),
};

const fileOf = (name) => path.join(directory, `${name.replaceAll('/', '_')}.f32`);

function read(name, shape) {
    const values = new Float32Array(new Uint8Array(fs.readFileSync(fileOf(name))).buffer);
    return new ort.Tensor('float32', values, shape);
}

function write(name, tensor) {
    const { buffer, byteOffset, byteLength } = tensor.data;
    fs.writeFileSync(fileOf(name), new Uint8Array(buffer, byteOffset, byteLength));
    return tensor.dims;
}

async function run({ graph, inputs, outputs }) {
    const feeds = Object.fromEntries(Object.entries(inputs).map(([name, shape]) => [name, read(name, shape)]));
    const results = await graphs[graph].run(feeds, outputs);
    return Object.fromEntries(Object.entries(results).map(([name, tensor]) => [name, write(name, tensor)]));
}

console.log(JSON.stringify({ version: ort.env.versions.node ?? 'unknown' }));
for await (const line of readline.createInterface({ input: process.stdin }))
    console.log(JSON.stringify(await run(JSON.parse(line))));
