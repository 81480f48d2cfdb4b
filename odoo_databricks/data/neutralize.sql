-- a copied database must call no workspace: no host, no secret, no schedule
UPDATE databricks_workspace
   SET host = 'https://neutralized.invalid',
       token_cipher = NULL,
       client_secret_cipher = NULL,
       token_set_on = NULL,
       client_secret_set_on = NULL,
       proxy_url = NULL,
       ca_file = NULL;
DELETE FROM databricks_circuit;
UPDATE lakehouse_view SET scheduled = false;
UPDATE databricks_pipeline SET scheduled = false;
UPDATE databricks_pipeline_run
   SET state = 'canceled', next_poll_at = NULL, repair_wanted = false,
       error = 'Neutralized copy of the database'
 WHERE state IN ('queued', 'submitted', 'running');
UPDATE databricks_pipeline_run_task SET state = 'canceled' WHERE state IN ('waiting', 'running');
-- links into the workspace
UPDATE databricks_pipeline_run SET run_page_url = NULL;
UPDATE databricks_pipeline_run_task SET page_url = NULL;
UPDATE ir_cron
   SET active = false
 WHERE id IN (
    SELECT res_id
      FROM ir_model_data
     WHERE module = 'odoo_databricks' AND model = 'ir.cron'
);
