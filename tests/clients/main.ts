// The main job with generated types: sign in, create a challenge, join it, prove it, and read the standings.
// Usage: node main.ts URL OWNER MEMBER, with two logins "name:password".
import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.d.ts";

const [url, ...logins] = process.argv.slice(2) as [string, string, string];
type Rules = components["schemas"]["RulesIn"];

async function signIn(given: string) {
  const [login = "", password = ""] = given.split(":");
  const { data, error } = await createClient<paths>({ baseUrl: url }).POST("/v1/auth/login", { body: { login, password } });
  assert(data?.access_token, error?.detail);
  return createClient<paths>({ baseUrl: url, headers: { Authorization: `Bearer ${data.access_token}` } });
}

const owner = await signIn(logins[0]!);
const member = await signIn(logins[1]!);

const day = 86_400_000;
const rules: Rules = {
  schedule: { days: ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], opens: "00:00", closes: "00:00" },
  proof: { kind: "text", min_length: 3 },
};
const made = await owner.POST("/v1/challenges", {
  body: {
    title: "Write a line",
    status: "active",
    late_join: true,
    starts_at: new Date(Date.now() - day / 24).toISOString(),
    ends_at: new Date(Date.now() + 7 * day).toISOString(),
    rules,
  },
  params: { header: { "idempotency-key": "typescript" } },
});
assert.equal(made.response.status, 201);
const challenge = made.data!;
if (challenge.rules.proof.kind === "text") assert.equal(challenge.rules.proof.min_length, 3); // narrowed by `kind`

const joined = await member.POST("/v1/challenges/{ref}/join", { params: { path: { ref: challenge.invite_code! } } });
assert.equal(joined.response.status, 201);

const path = { challenge_id: challenge.id };
const current = await member.GET("/v1/challenges/{challenge_id}/windows/current", { params: { path } });
assert.equal(current.data?.state, "open");

const proof = await member.POST("/v1/challenges/{challenge_id}/proofs", { params: { path }, body: { value: "I ran." } });
assert.equal(proof.data?.proof.status, "accepted");

const standings = await owner.GET("/v1/challenges/{challenge_id}/standings", { params: { path, query: { limit: 1 } } });
assert.equal(standings.data?.items[0]?.accepted, 1);

const mine = await owner.GET("/v1/challenges/mine");
assert.deepEqual(mine.data?.items.map((each) => each.title), ["Write a line"]);

const refused = await member.PATCH("/v1/challenges/{challenge_id}", { params: { path }, body: { title: "Mine now" } });
assert.equal(refused.error?.code, "not_owner");

const left = await member.POST("/v1/challenges/{challenge_id}/leave", { params: { path } });
assert.equal(left.response.status, 204);
console.log("done");
