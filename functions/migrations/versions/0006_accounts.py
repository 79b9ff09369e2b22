"""What accounts are trusted by: live sessions, limits, audit, links in mails, second factors, passkeys, exports."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# Every limit: at most `quantity` in `period`, all at once if one likes, by whatever the limit is `per`. An operator
# may change a row; functions read them at every use. Stage local lifts those per ip: there everybody is 127.0.0.1.
LIMITS = """
    ('login_account_ip', 5, '1 minute', 'account and ip', 'sign-in by password'),
    ('login_account', 20, '1 minute', 'account', 'sign-in by password'),
    ('login_ip', 60, '1 minute', 'ip', 'sign-in by password'),
    ('register_address', 10, '1 hour', 'address', 'mails to confirm an address'),
    ('register_ip', 30, '1 hour', 'ip', 'registrations'),
    ('magic_link_address', 3, '1 hour', 'address', 'mails with a sign-in link'),
    ('magic_link_ip', 30, '1 hour', 'ip', 'mails with a sign-in link'),
    ('password_reset_address', 3, '1 hour', 'address', 'mails to set a new password'),
    ('password_reset_ip', 30, '1 hour', 'ip', 'mails to set a new password'),
    ('refresh_ip', 300, '1 minute', 'ip', 'refreshes'),
    ('token_ip', 60, '1 minute', 'ip', 'links followed, second factors tried'),
    ('passkey_ip', 60, '1 minute', 'ip', 'sign-in by passkey'),
    ('passkey_account', 20, '1 hour', 'account', 'passkeys about to be registered'),
    ('second_factor', 10, '1 hour', 'account', 'codes and assertions tried at sign-in'),
    ('factor_check', 10, '1 hour', 'account', 'codes and assertions tried while signed in'),
    ('password_check', 5, '1 minute', 'account', 'one''s own password tried while signed in'),
    ('email_change', 5, '1 hour', 'account', 'mails to confirm another address'),
    ('username_change', 5, '1 day', 'account', 'new usernames'),
    ('export', 3, '1 day', 'account', 'exports of everything held')
"""


def upgrade() -> None:
    op.execute("""
        create table core.limits (
            name text constraint limits_pkey primary key,
            quantity integer not null constraint limits_quantity_positive check (quantity > 0),
            period interval not null constraint limits_period_positive check (period > interval '0'),
            per text not null constraint limits_per_known
                check (per in ('ip', 'account', 'account and ip', 'address')),
            counts text not null
        )
    """)
    op.execute(f"insert into core.limits (name, quantity, period, per, counts) values {LIMITS}")
    # `full_at`: the theoretical arrival time of GCRA. A row that lies in the past says no more than none.
    op.execute("""
        create table core.rate_limits (
            name text not null constraint rate_limits_limit_fkey references core.limits (name) on delete cascade,
            subject bytea not null,
            full_at timestamptz not null,
            constraint rate_limits_pkey primary key (name, subject)
        )
    """)
    op.execute("create index rate_limits_full_at on core.rate_limits (full_at)")

    # Who did what to an account, and from where. `user_id`: whose account it is about. Rows are only ever added.
    op.execute("""
        create table core.audit (
            id uuid constraint audit_pkey primary key default uuidv7(),
            at timestamptz not null,
            action text not null constraint audit_action_form check (action ~ '^[a-z]+(_[a-z]+)*$'),
            actor_id uuid,
            user_id uuid,
            session_id uuid,
            ip inet,
            user_agent text,
            request_id text,
            detail jsonb not null default '{}'
        )
    """)
    op.execute("create index audit_user on core.audit (user_id, id)")
    op.execute("create index audit_at on core.audit (at)")

    op.execute("""
        alter table identity.users
            add column wants_reminders boolean not null default true,
            add column deleted_at timestamptz,
            add column purged_at timestamptz
    """)

    op.execute("""
        alter table identity.sessions
            add column authenticated_at timestamptz not null default now(),
            add column second_factor boolean not null default false,
            -- its successor allows more
            -- squawk-ignore ban-drop-constraint
            drop constraint sessions_ended_reason_known,
            add constraint sessions_ended_reason_known check (
                ended_reason in ('signed_out', 'reuse', 'password_changed', 'second_factor_on', 'account_deleted')
            ) not valid
    """)

    op.execute("update identity.sessions set authenticated_at = created_at")

    # Links in mails. A newer link of the same purpose and subject takes the place of the older. `user_id` is random
    # where the address has no account: asking leaves the same traces for every address. It is no foreign key, either:
    # that would be looked up, which takes time, and locks a row where there is one.
    op.execute("""
        create table identity.mail_links (
            purpose text not null constraint mail_links_purpose_known
                check (purpose in ('magic_link', 'password_reset', 'email_change', 'unlock')),
            subject text not null,
            token_hash bytea not null constraint mail_links_token_hash_key unique,
            user_id uuid not null,
            email text not null,
            created_at timestamptz not null,
            expires_at timestamptz not null,
            constraint mail_links_pkey primary key (purpose, subject)
        )
    """)
    op.execute("create index mail_links_user on identity.mail_links (user_id)")
    op.execute("create index mail_links_expires_at on identity.mail_links (expires_at)")

    # Wrong passwords in a row, by a hash of the login as it was typed, whether or not there is such an account.
    op.execute("""
        create table identity.login_failures (
            login_hash bytea constraint login_failures_pkey primary key,
            failures integer not null,
            failed_at timestamptz not null
        )
    """)
    op.execute("create index login_failures_failed_at on identity.login_failures (failed_at)")

    # A sign-in that waits for its second factor.
    op.execute("""
        create table identity.pending_sign_ins (
            token_hash bytea constraint pending_sign_ins_pkey primary key,
            user_id uuid not null
                constraint pending_sign_ins_user_fkey references identity.users (id) on delete cascade,
            expires_at timestamptz not null
        )
    """)
    op.execute("create index pending_sign_ins_user on identity.pending_sign_ins (user_id)")
    op.execute("create index pending_sign_ins_expires_at on identity.pending_sign_ins (expires_at)")

    op.execute("""
        create table identity.totp (
            user_id uuid constraint totp_pkey primary key
                constraint totp_user_fkey references identity.users (id) on delete cascade,
            sealed_secret bytea not null,
            created_at timestamptz not null,
            confirmed_at timestamptz,
            -- the time step (RFC 6238) of the last code that was accepted: no code is good twice
            last_step bigint not null default 0
        )
    """)
    op.execute("""
        create table identity.backup_codes (
            user_id uuid not null
                constraint backup_codes_user_fkey references identity.users (id) on delete cascade,
            code_hash bytea not null,
            used_at timestamptz,
            constraint backup_codes_pkey primary key (user_id, code_hash)
        )
    """)
    op.execute("""
        create table identity.passkeys (
            id uuid constraint passkeys_pkey primary key default uuidv7(),
            user_id uuid not null
                constraint passkeys_user_fkey references identity.users (id) on delete cascade,
            credential_id bytea not null constraint passkeys_credential_id_key unique,
            public_key bytea not null,
            sign_count bigint not null,
            backed_up boolean not null,
            name text not null constraint passkeys_name_length check (length(name) between 1 and 60),
            created_at timestamptz not null,
            last_used_at timestamptz
        )
    """)
    op.execute("create index passkeys_user on identity.passkeys (user_id)")
    # `user_id` is null for sign-in: who it will be is the authenticator's answer.
    op.execute("""
        create table identity.passkey_challenges (
            challenge bytea constraint passkey_challenges_pkey primary key,
            user_id uuid constraint passkey_challenges_user_fkey references identity.users (id) on delete cascade,
            expires_at timestamptz not null
        )
    """)
    op.execute("create index passkey_challenges_user on identity.passkey_challenges (user_id)")
    op.execute("create index passkey_challenges_expires_at on identity.passkey_challenges (expires_at)")

    op.execute("""
        create table identity.exports (
            id uuid constraint exports_pkey primary key default uuidv7(),
            user_id uuid not null constraint exports_user_fkey references identity.users (id) on delete cascade,
            requested_at timestamptz not null,
            built_at timestamptz,
            object_key text,
            size bigint,
            expires_at timestamptz
        )
    """)
    op.execute("create index exports_user on identity.exports (user_id, id)")
    # one under way is enough: asking again while it is built asks for the same one
    op.execute("create unique index exports_one_under_way on identity.exports (user_id) where built_at is null")

    tables = (
        "core.limits",
        "core.rate_limits",
        "core.audit",
        "identity.mail_links",
        "identity.login_failures",
        "identity.pending_sign_ins",
        "identity.totp",
        "identity.backup_codes",
        "identity.passkeys",
        "identity.passkey_challenges",
        "identity.exports",
    )
    for table in tables:
        name = table.split(".")[1]
        op.execute(f"alter table {table} enable row level security")
        op.execute(f"alter table {table} force row level security")
        op.execute(f"create policy {name}_owner on {table} to chally_owner using (true)")
        op.execute(f"create policy {name}_system on {table} to chally_system using (true)")
    for table in tables[3:]:
        op.execute(f"grant select, insert, update, delete on {table} to chally_system")
    op.execute("grant select on core.limits to chally_system")
    op.execute("grant select, insert, update, delete on core.rate_limits to chally_system")
    # Nobody alters what was written down; the purge takes the traces of a person who is gone, and what is too old.
    op.execute("grant select, insert, delete, update (ip, user_agent) on core.audit to chally_system")
    op.execute("grant insert on core.audit to chally_app")
    op.execute("create policy audit_own on core.audit for insert to chally_app with check (actor_id = core.actor())")

    # One statement takes from several limits. What any of them refuses counts against none: who is refused by the limit
    # of their own ip must not use up what the account has for everybody. The rows are locked and looked at first; a row
    # that another request makes meanwhile is looked at again where it is found. Old rows give way when touched, and a
    # job deletes the rest. The app's role may take, and neither read nor give back.
    op.execute("""
        create function core.take(names text[], subjects bytea[], lifted text[], at timestamptz)
        returns table (name text, retry_after interval)
        language sql security definer set search_path = '' as $$
            with asked as (
                select l.name, a.subject, l.period / l.quantity as step, l.period - l.period / l.quantity as slack
                from unnest(take.names, take.subjects) as a (name, subject)
                join core.limits l on l.name = a.name and l.per <> all (take.lifted)
            ), found as (
                select r.name, r.full_at, asked.slack
                from core.rate_limits r join asked on asked.name = r.name and asked.subject = r.subject
                order by r.name, r.subject for update of r  -- two requests lock the same rows in the same order
            ), refused as (
                select found.name, found.full_at - take.at - found.slack as retry_after
                from found where found.full_at > take.at + found.slack
            ), taken as (
                insert into core.rate_limits as r (name, subject, full_at)
                select asked.name, asked.subject, take.at + asked.step from asked
                where not exists (select from refused)
                order by asked.name, asked.subject
                on conflict on constraint rate_limits_pkey do update
                set full_at = case
                    when r.full_at <= take.at + (select asked.slack from asked
                                                 where asked.name = r.name and asked.subject = r.subject)
                    then greatest(r.full_at, take.at) + (excluded.full_at - take.at)
                    else r.full_at
                end
                returning new.name, old.full_at as was, new.full_at as full_at
            )
            select refused.name, refused.retry_after from refused
            union all
            select taken.name, taken.was - take.at - asked.slack
            from taken join asked on asked.name = taken.name
            where taken.was = taken.full_at
        $$
    """)
    op.execute("revoke execute on function core.take from public")
    op.execute("grant execute on function core.take to chally_app, chally_system")

    # What a request needs to know of the session it came through; no row when that has ended. In the round trip that
    # says who is asking, so that a session that was ended is refused at once, not when its access token expires.
    op.execute("""
        create function core.session(session_id uuid, user_id uuid)
        returns table (role text, authenticated_at timestamptz, second_factor boolean)
        language sql stable security definer set search_path = '' as $$
            select u.role, s.authenticated_at, s.second_factor
            from identity.sessions s join identity.users u on u.id = s.user_id
            where s.id = session.session_id and u.id = session.user_id
              and s.ended_at is null and u.deleted_at is null
        $$
    """)
    op.execute("revoke execute on function core.session from public")
    op.execute("grant execute on function core.session to chally_app, chally_system")

    # Who has left is nobody's business: the name is hidden from the first moment, and the address gets no mail.
    op.execute("""
        create or replace view identity.profiles as
        select id, case when deleted_at is null then username else 'deleted_' || right(id::text, 12) end as username
        from identity.users
    """)
    op.execute("""
        create or replace view identity.contacts as
        select id, email, username, timezone, email_verified_at is not null as verified, wants_reminders
        from identity.users where deleted_at is null
    """)
    op.execute("grant select (wants_reminders, deleted_at) on identity.users to chally_app")
