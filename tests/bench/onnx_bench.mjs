// onnx-bench: ONNX Runtime's side of bench.py: onnx_bench.mjs PACKAGES ENCODER DECODER INPUT.f32 HEIGHT WIDTH THREADS
//
// Reads lines from standard input, "encode" or "prompt", runs that once, and answers with a line: the milliseconds that
// it took. A prompt is one point and its padding point, as in Segment Anything's ONNX example; masks come at the image's size.
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import readline from 'node:readline';

const [packages, encoderPath, decoderPath, input, height, width, threads] = process.argv.slice(2);
const ort = createRequire(path.resolve(packages, 'bench.js'))('onnxruntime-node');
const options = {
    intraOpNumThreads: Number(threads), interOpNumThreads: 1, executionMode: 'sequential',
    graphOptimizationLevel: 'all', executionProviders: ['cpu'],
};
const encoder = await ort.InferenceSession.create(encoderPath, options);
const decoder = await ort.InferenceSession.create(decoderPath, options);
const tensor = (values, shape) => new ort.Tensor('float32', Float32Array.from(values), shape);

const pixels = new Float32Array(new Uint8Array(fs.readFileSync(input)).buffer);
const image = new ort.Tensor('float32', pixels, [1, 3, 1024, 1024]);
const scale = 1024 / Math.max(height, width);
const prompt = {
    point_coords: tensor([(width / 2) * scale, (height / 2) * scale, 0, 0], [1, 2, 2]),
    point_labels: tensor([1, -1], [1, 2]),
    mask_input: tensor(new Float32Array(256 * 256), [1, 1, 256, 256]),
    has_mask_input: tensor([0], [1]),
    orig_im_size: tensor([height, width], [2]),
};
const encode = async () => { prompt.image_embeddings = (await encoder.run({ input: image })).output; };
const segment = () => decoder.run(prompt);

await encode(); // there is an embedding to prompt
for await (const line of readline.createInterface({ input: process.stdin })) {
    const start = performance.now();
    await (line === 'encode' ? encode() : segment());
    console.log((performance.now() - start).toFixed(3));
}
