-- a copied database must call no workspace: no host, no secret, no schedule
UPDATE databricks_workspace
   SET host = 'https://neutralized.invalid',
       token_cipher = NULL,
       client_secret_cipher = NULL,
       token_set_on = NULL,
       client_secret_set_on = NULL;
UPDATE lakehouse_view SET scheduled = false;
UPDATE databricks_pipeline SET scheduled = false;
UPDATE databricks_pipeline_run
   SET state = 'canceled', error = 'Neutralized copy of the database'
 WHERE state IN ('queued', 'submitted', 'running');
UPDATE ir_cron
   SET active = false
 WHERE id IN (
    SELECT res_id
      FROM ir_model_data
     WHERE module = 'odoo_databricks' AND model = 'ir.cron'
);
