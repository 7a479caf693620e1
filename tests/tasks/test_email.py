"""`send-email` as a job, handed over to a real mail server."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest
from psycopg import AsyncConnection

from app.config import MailSettings, Settings
from app.queue.submit import Submission, submit
from app.tasks.email import send_email

from ..application import Served, run_waiting_jobs, serving, settings_for
from .mail_host import MailHost, mail_host, write_certificate

pytestmark = pytest.mark.anyio

MAIL = {"to": ["zoe@example.com"], "subject": "Your order", "text": "It is on its way."}


@pytest.fixture
def settings(database_url: str, post: MailHost) -> Settings:
    """Of a queue whose mail goes there."""
    return settings_for(database_url, mail=mail_to(f"smtp://127.0.0.1:{post.port}"))


def mail_to(url: str | None, **others: Any) -> MailSettings:
    """Settings as a person types them."""
    given: dict[str, Any] = {"server": url, "sender": "Shop <shop@example.com>"} | others
    return MailSettings(**given)


async def sent(served: Served, args: dict[str, Any], **body: Any) -> dict[str, Any]:
    """Submit a mail, let a worker run what can run, and return the job."""
    queue, client = served
    answer = await client.post("/tasks/send-email", json={"args": args, **body})
    assert answer.status_code == 202, answer.text
    await run_waiting_jobs(queue)
    return await job_of(served, answer.json()["job_id"])


async def again(served: Served, conn: AsyncConnection, job_id: int) -> dict[str, Any]:
    """Let the job's next attempt come now, and return the job."""
    await conn.execute("UPDATE procrastinate_jobs SET scheduled_at = NULL WHERE status = 'todo'")
    await run_waiting_jobs(served[0])
    return await job_of(served, job_id)


async def job_of(served: Served, job_id: int) -> dict[str, Any]:
    """A job as the API shows it."""
    job: dict[str, Any] = (await served[1].get(f"/jobs/{job_id}")).json()
    return job


async def test_mail(served: Served, post: MailHost):
    """A mail arrives with its subject, its text and its sender, and its result says who got it."""
    job = await sent(served, MAIL)
    ((recipients, message),) = post.taken
    assert recipients == ["zoe@example.com"]
    assert (message["From"], message["To"], message["Subject"]) == (
        "Shop <shop@example.com>",
        "zoe@example.com",
        "Your order",
    )
    assert message.get_content() == "It is on its way.\r\n"
    assert job["result"] == {"message_id": message["Message-ID"], "accepted": ["zoe@example.com"], "refused": {}}
    assert (job["queue"], job["priority"]) == ("email", 3)


async def test_every_part(served: Served, post: MailHost):
    """HTML stands beside the text, files go along, and whoever is in bcc is in no header."""
    pdf = b"%PDF-1.4 \x00\xff" * 10
    await sent(
        served,
        {
            "to": ["Zoë <zoe@exämple.test>", "bob@example.com"],
            "cc": ["carl@example.com"],
            "bcc": ["boss@example.com", "bob@example.com"],
            "reply_to": "help@example.com",
            "sender": "Büro <office@example.com>",
            "subject": "Grüße 🦀",
            "text": "Schöne Grüße\n.\n",
            "html": "<p>Schöne Grüße</p>",
            "headers": {"List-Unsubscribe": "<https://example.com/bye>"},
            "attachments": [
                {
                    "name": "Rechnung Nº 7.pdf",
                    "content": base64.b64encode(pdf).decode(),
                    "content_type": "application/pdf",
                },
                {"name": "a.txt", "content": base64.b64encode(b"hello").decode(), "content_type": "text/plain"},
            ],
        },
    )
    ((recipients, message),) = post.taken
    assert recipients == ["zoe@xn--exmple-cua.test", "bob@example.com", "carl@example.com", "boss@example.com"]
    assert "boss" not in message.as_string()
    assert (message["From"], message["To"]) == (
        "Büro <office@example.com>",
        "Zoë <zoe@xn--exmple-cua.test>, bob@example.com",
    )
    assert (message["Cc"], message["Reply-To"], message["Subject"]) == (
        "carl@example.com",
        "help@example.com",
        "Grüße 🦀",
    )
    assert message["List-Unsubscribe"] == "<https://example.com/bye>"
    text, html = (message.get_body((kind,)) for kind in ("plain", "html"))
    assert text is not None
    assert html is not None
    assert (text.get_content(), html.get_content()) == ("Schöne Grüße\r\n.\r\n", "<p>Schöne Grüße</p>\r\n")
    first, second = message.iter_attachments()
    assert (first.get_filename(), first.get_content_type(), first.get_content()) == (
        "Rechnung Nº 7.pdf",
        "application/pdf",
        pdf,
    )
    assert (second.get_filename(), second.get_payload(decode=True)) == ("a.txt", b"hello")


async def test_refused_for_now(served: Served, post: MailHost, conn: AsyncConnection):
    """A 4xx is tried again."""
    post.data_answers.append("451 4.3.0 try again later")
    job = await sent(served, MAIL)
    assert (job["state"], job["last_failure"]["failure_type"]) == ("retrying", "TRANSIENT_NETWORK")
    job = await again(served, conn, job["job_id"])
    assert (job["state"], job["attempts"], post.asked, len(post.taken)) == ("succeeded", 2, 2, 1)


async def test_next_attempt_is_for_the_others(served: Served, post: MailHost, conn: AsyncConnection):
    """Whoever has the mail does not get it again: the next attempt, of the same mail, is for those who were put off."""
    args = {**MAIL, "cc": ["bob@example.com", "carl@example.com"]}
    post.will("zoe@example.com", "450 4.2.1 later", "450 4.2.1 later")
    post.will("carl@example.com", "550 5.1.1 no such user")
    job = await sent(served, args)
    assert (job["state"], job["last_failure"]["failure_type"]) == ("retrying", "TRANSIENT_NETWORK")
    assert job["last_failure"]["message"].endswith("1 taken, refused: zoe@example.com: 450 4.2.1 later")
    for _ in range(2):
        job = await again(served, conn, job["job_id"])
    assert (job["state"], job["attempts"]) == ("succeeded", 3)
    assert [recipients for recipients, _ in post.taken] == [["bob@example.com"], ["zoe@example.com"]]
    assert {message["Message-ID"] for _, message in post.taken} == {job["result"]["message_id"]}
    assert job["result"]["accepted"] == ["zoe@example.com", "bob@example.com"]
    assert list(job["result"]["refused"]) == ["carl@example.com"]


async def test_replay_is_for_the_others(served: Served, post: MailHost):
    """A replay goes to those who have the mail not yet, also to whom the server refused it before."""
    queue, client = served
    post.will("zoe@example.com", "450 4.2.1 later")
    post.will("bob@example.com", "550 5.1.1 no such user")
    job = await sent(served, {**MAIL, "cc": ["bob@example.com", "carl@example.com"]}, max_retries=0)
    assert (job["state"], post.taken[0][0]) == ("failed", ["carl@example.com"])
    letter = (await client.get("/dead-letters")).json()["items"][0]["id"]
    replay = (await client.post(f"/dead-letters/{letter}/replay", json={})).json()["job_id"]
    await run_waiting_jobs(queue)
    job = await job_of(served, replay)
    assert (job["state"], post.taken[1][0]) == ("succeeded", ["zoe@example.com", "bob@example.com"])
    assert len({message["Message-ID"] for _, message in post.taken}) == 1
    assert sorted(job["result"]["accepted"]) == ["bob@example.com", "carl@example.com", "zoe@example.com"]


async def test_run_again_after_a_crash(served: Served, post: MailHost, conn: AsyncConnection):
    """A worker that dies after the mail was taken, and before the job's end is written, does not have it sent twice."""
    job = await sent(served, MAIL)
    await conn.execute("UPDATE procrastinate_jobs SET status = 'todo', attempts = 0 WHERE id = %s", [job["job_id"]])
    job = await again(served, conn, job["job_id"])
    assert (job["state"], len(post.taken)) == ("succeeded", 1)
    assert job["result"]["accepted"] == ["zoe@example.com"]


async def test_message_ids(served: Served, post: MailHost):
    """Two jobs are two mails, also with the same words."""
    for _ in range(2):
        await sent(served, MAIL)
    ids = [message["Message-ID"] for _, message in post.taken]
    assert len(set(ids)) == 2
    assert all(each.endswith("@example.com>") for each in ids)


async def test_refused_for_good(served: Served, post: MailHost):
    """A 5xx is not tried again, and the failure tells what the server said."""
    post.data_answers.append("554 5.7.1 looks like spam")
    job = await sent(served, MAIL)
    assert (job["state"], job["attempts"], post.asked) == ("failed", 1, 1)
    assert job["last_failure"]["failure_type"] == "PERMANENT_VALIDATION"
    assert "looks like spam" in job["last_failure"]["message"]


async def test_nobody_gets_it(served: Served, post: MailHost):
    """Where every recipient is refused for good, so is the job."""
    post.will("zoe@example.com", "550 5.1.1 no such user")
    job = await sent(served, MAIL)
    assert (job["state"], job["last_failure"]["failure_type"]) == ("failed", "PERMANENT_NOT_FOUND")
    assert job["last_failure"]["message"].endswith("zoe@example.com: 550 5.1.1 no such user")
    assert not post.taken


async def test_some_get_it(served: Served, post: MailHost):
    """Where some are refused for good the others get the mail, and the result says who did not, and why."""
    post.will("bob@example.com", "550 5.1.1 no such user")
    job = await sent(served, {**MAIL, "cc": ["bob@example.com"]})
    assert (job["state"], post.taken[0][0]) == ("succeeded", ["zoe@example.com"])
    assert job["result"]["accepted"] == ["zoe@example.com"]
    assert job["result"]["refused"] == {"bob@example.com": {"code": 550, "message": "5.1.1 no such user"}}


async def test_server_is_down(database_url: str):
    """A server that is not there is a failure of the network, and is tried again."""
    async with mail_host() as gone:
        url = f"smtp://127.0.0.1:{gone.port}"
    async with serving(settings_for(database_url, mail=mail_to(url))) as served:
        job = await sent(served, MAIL)
        assert (job["state"], job["last_failure"]["failure_type"]) == ("retrying", "TRANSIENT_NETWORK")


async def test_slow_server(database_url: str, post: MailHost):
    """A server that does not answer in time is a time-out, and is tried again."""
    post.seconds = 3
    mail = mail_to(f"smtp://127.0.0.1:{post.port}", timeout="0.3s")
    async with serving(settings_for(database_url, mail=mail)) as served:
        job = await sent(served, MAIL)
        assert (job["state"], job["last_failure"]["failure_type"]) == ("retrying", "TRANSIENT_TIMEOUT")


async def test_a_server_that_does_not_part(database_url: str, post: MailHost):
    """What is taken is noted before a worker could die of waiting for a goodbye: else it would be sent once more."""
    post.parting_seconds = 3600
    mail = mail_to(f"smtp://127.0.0.1:{post.port}", timeout="60s")
    async with serving(settings_for(database_url, mail=mail)) as served, asyncio.timeout(30):
        job = await sent(served, MAIL)
        assert (job["state"], len(post.taken)) == ("succeeded", 1)


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        (MailSettings(), "MAIL_FROM is not set: write it into .env, such as MAIL_FROM=shop@example.com"),
        (mail_to(None), "SMTP_URL is not set: write it into .env, such as SMTP_URL=smtp://"),
    ],
)
async def test_missing_settings(database_url: str, settings: MailSettings, missing: str):
    """A missing setting ends the job as CONFIG_MISSING_SETTING, and the failure says what to write where."""
    async with serving(settings_for(database_url, mail=settings)) as served:
        job = await sent(served, MAIL)
        assert (job["state"], job["last_failure"]["failure_type"]) == ("failed", "CONFIG_MISSING_SETTING")
        assert job["last_failure"]["message"].startswith(missing)


async def test_password_over_starttls(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """With a password the connection is encrypted first, and the server's certificate is checked."""
    certificate = write_certificate(tmp_path)
    async with mail_host(certificate=certificate, auth_require_tls=True) as post:
        url = f"smtp://shop:s%3Ae%2Fc%40ret@localhost:{post.port}?starttls=always"
        async with serving(settings_for(database_url, mail=mail_to(url))) as served:
            job = await sent(served, MAIL)
            assert job["last_failure"]["failure_type"] == "CONFIG_MISSING_SETTING"
            monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
            job = await sent(served, MAIL)
            assert job["state"] == "succeeded"
    assert (post.logins, post.was_encrypted) == ([("shop", "s:e/c@ret")], [True])


async def test_no_password_in_the_clear(database_url: str):
    """A server that does not offer to encrypt never hears the password."""
    async with mail_host(auth_require_tls=False) as post:
        url = f"smtp://shop:s%3Ae%2Fc%40ret@localhost:{post.port}?starttls=always"
        async with serving(settings_for(database_url, mail=mail_to(url))) as served:
            job = await sent(served, MAIL)
    assert job["result"] is None
    assert not post.logins
    assert not post.taken


async def test_encrypted_from_the_first_byte(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """smtps:// encrypts everything."""
    certificate = write_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    async with mail_host(certificate=certificate, implicit=True, auth_require_tls=False) as post:
        mail = mail_to(f"smtps://shop:s%3Ae%2Fc%40ret@localhost:{post.port}")
        async with serving(settings_for(database_url, mail=mail)) as served:
            assert (await sent(served, MAIL))["state"] == "succeeded"
    assert post.logins == [("shop", "s:e/c@ret")]


async def test_wrong_password(database_url: str, conn: AsyncConnection):
    """A wrong password is not tried again, and is told nowhere."""
    async with mail_host(auth_require_tls=False) as post:
        mail = mail_to(f"smtp://shop:open-sesame@127.0.0.1:{post.port}")
        async with serving(settings_for(database_url, mail=mail)) as served:
            job = await sent(served, MAIL)
            assert (job["state"], job["last_failure"]["failure_type"]) == ("failed", "PERMANENT_AUTH")
    assert post.logins[0] == ("shop", "open-sesame")
    rows = await (await conn.execute("SELECT a::text FROM afresh.attempt a")).fetchall()
    assert not [row for row in rows if "sesame" in row[0]]
    assert "sesame" not in repr(mail)


async def test_from_python_arguments_are_checked(served: Served, post: MailHost):
    """What nobody has checked is checked by the task: a line break in a subject or an address sends nothing."""
    queue, _ = served
    wrong: list[dict[str, Any]] = [
        {**MAIL, "subject": "Hi\r\nBcc: all@example.com"},
        {**MAIL, "to": ["zoe@example.com\r\nRCPT TO:<all@example.com>"]},
        {**MAIL, "headers": {"X-A\r\nBcc": "all@example.com"}},
        {**MAIL, "headers": {"X-A": "b\nBcc: all@example.com"}},
    ]
    for args in wrong:
        async with queue.connection() as conn:
            job_id = await submit(conn, Submission(task_name=send_email.name, queue="email", args=args))
        await run_waiting_jobs(queue)
        job = await job_of(served, job_id)
        assert (job["state"], job["last_failure"]["failure_type"]) == ("failed", "PERMANENT_VALIDATION")
    assert not post.asked
