// Steps: what is prompted, and which of the masks of that is meant.

// Immutable but for the masks, which are filled in when they come, and the choice: the candidate that the user wants, or
// null for the best. picked is {mask, index}, one of everything.
export const NOTHING = { points: [], labels: [], box: null, picked: null, choice: null, masks: null };
export const isPick = (step) => step.picked && step.points.length === 0 && !step.box;
export const isEmpty = (step) => step.points.length === 0 && !step.box && !step.picked;

export const promptOf = ({ points, labels, box, picked }) => ({
    ...(points.length && { points, labels }),
    ...(box && { box }),
    ...(picked && { mask: picked.mask.segmentation }),
});

// A single point or box may mean several things: there the best of the three candidates is the one to begin with. What is
// told in more ways has a mask of its own ("auto"), and the three are asked for beside it.
const isAmbiguous = ({ points, box }) => points.length + (box ? 1 : 0) === 1;

export function requestOf(step) {
    const prompt = promptOf(step);
    const all = { ...prompt, multimask: true };
    return isAmbiguous(step) ? all : { prompts: [prompt, all] };
}

// The prompt that gives the mask that is shown, and that mask's place among its masks; without a prompt, among all.
export function requestOfChosen(step) {
    if (isPick(step))
        return { prompt: null, index: step.picked.index };
    const index = chosen(step) - (isAmbiguous(step) ? 0 : 1);
    return index < 0 ? { prompt: promptOf(step), index: 0 } : { prompt: { ...promptOf(step), multimask: true }, index };
}

export const withPoint = (step, point, label) =>
    ({ ...step, points: [...step.points, point], labels: [...step.labels, label], masks: null });

// Of the step's masks, the one that is shown: the candidate of the user's choice, or the best.
export function chosen(step) {
    const { masks, choice } = step;
    if (choice !== null && masks.length >= 3)
        return choice + masks.length - 3;
    if (!isAmbiguous(step))
        return 0;
    return masks.reduce((best, mask, i) => (mask.predicted_iou > masks[best].predicted_iou ? i : best), 0);
}
